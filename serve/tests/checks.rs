//! The endpoints that check texts, in each client's shape.

mod common;

use axum::body::Body;
use axum::http::Request;
use common::{SAFE, UNSAFE, options, send, start};
use serde_json::{Value, json};

#[tokio::test]
async fn moderations_are_in_the_shape_of_openai() {
    let server = start(&options()).await;
    let body = json!({"model": "omni-moderation-latest", "input": [SAFE, UNSAFE]});
    let (status, _, answer) = server.post("/v1/moderations", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["model"], "mini");
    let results = answer["results"].as_array().unwrap();
    let flags: Vec<_> = results
        .iter()
        .map(|r| r["flagged"].as_bool().unwrap())
        .collect();
    assert_eq!(flags, [false, true]);
    let found = &results[1];
    // 13 of theirs and 12 of ours, of which "hate" is both.
    for field in [
        "categories",
        "category_scores",
        "category_applied_input_types",
    ] {
        assert_eq!(found[field].as_object().unwrap().len(), 24, "{field}");
    }
    let category = found["duoguard"]["category"].as_str().unwrap();
    assert_eq!(found["categories"][category], true);
    let scores = &found["category_scores"];
    let largest = ["violent_crimes", "weapons"].map(|c| scores[c].as_f64().unwrap());
    let largest = largest[0].max(largest[1]);
    assert_eq!(scores["illicit/violent"].as_f64().unwrap(), largest);
    assert_eq!(scores["violence/graphic"], 0.0);
    assert_eq!(found["categories"]["harassment"], false);
    assert_eq!(found["duoguard"]["span"], json!([0, UNSAFE.len()]));
    assert_eq!(found["duoguard"]["language"], "en");
    server.stop().await;
}

#[tokio::test]
async fn parts_are_one_text_and_images_are_refused() {
    let server = start(&options()).await;
    let text = json!({"type": "text", "text": UNSAFE});
    let (status, _, answer) = server
        .post("/v1/moderations", &json!({"input": [text]}))
        .await;
    assert_eq!(
        (status.as_u16(), answer["results"].as_array().unwrap().len()),
        (200, 1)
    );
    let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    let (status, _, answer) = server
        .post("/v1/moderations", &json!({"input": [text, image]}))
        .await;
    assert_eq!(status, 400);
    assert_eq!(answer["error"]["code"], "unsupported_input_type");
    assert_eq!(answer["error"]["param"], "input");
    assert_eq!(answer["error"]["type"], "invalid_request_error");
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_a_4xx_that_says_so_and_never_repeats_the_text() {
    let mut limited = options();
    limited.limits.texts = 2;
    limited.limits.tokens = 8;
    limited.limits.body_bytes = 500;
    let server = start(&limited).await;
    let long = "secret ".repeat(20);
    for (body, status, code) in [
        (json!({}), 400, "invalid_request"),
        (json!({"input": []}), 400, "invalid_request"),
        (json!({"input": ["secret", 1]}), 400, "invalid_request"),
        (json!({"input": [{"type": "text"}]}), 400, "invalid_request"),
        (
            json!({"input": "secret", "model": 1}),
            400,
            "invalid_request",
        ),
        (
            json!({"input": "secret", "language": "mostly French"}),
            400,
            "invalid_request",
        ),
        (json!({"input": ["a", "b", "c"]}), 400, "invalid_request"),
        (json!({"input": long}), 413, "text_too_long"),
        (
            json!({"input": "secret ".repeat(100)}),
            413,
            "body_too_large",
        ),
        (json!(["secret"]), 400, "invalid_json"),
    ] {
        let (found, _, answer) = server.post("/v1/moderations", &body).await;
        assert_eq!(
            (found.as_u16(), &answer["error"]["code"]),
            (status, &json!(code)),
            "{body}"
        );
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    let url = format!("http://{}/v1/moderations", server.address);
    let plain = Request::post(&url)
        .body(Body::from("{\"input\": \"secret\"}"))
        .unwrap();
    assert_eq!(send(plain).await.0, 415);
    let broken = Request::post(&url).header("content-type", "application/json");
    let (status, _, body) = send(broken.body(Body::from("{\"input\": \"secret")).unwrap()).await;
    assert_eq!(status, 400);
    assert!(!String::from_utf8(body).unwrap().contains("secret"));
    let (status, body) = server.get("/v1/moderations").await;
    assert_eq!(status, 405);
    assert!(body.contains("method_not_allowed"), "{body}");
    assert_eq!(server.get("/nowhere").await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn classify_answers_in_the_shape_of_vllm() {
    let server = start(&options()).await;
    for path in ["/classify", "/v1/classify"] {
        let (status, _, answer) = server.post(path, &json!({"input": [SAFE, UNSAFE]})).await;
        assert_eq!(status, 200, "{answer}");
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data[0]["label"], "safe");
        assert_ne!(data[1]["label"], "safe");
        assert_eq!(
            (&data[1]["index"], &data[1]["num_classes"]),
            (&json!(1), &json!(13))
        );
        assert_eq!(data[1]["probs"].as_array().unwrap().len(), 13);
        assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10);
    }
    let (_, _, one) = server.post("/classify", &json!({"input": SAFE})).await;
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn the_guardrail_of_litellm_blocks_and_passes() {
    let server = start(&options()).await;
    let path = "/beta/litellm_basic_guardrail_api";
    let ask = |input_type: &str, text: &str| {
        json!({
            "input_type": input_type, "texts": [SAFE, text], "images": null, "tools": null,
            "tool_calls": [], "structured_messages": [{"role": "user", "content": SAFE}],
            "request_data": {}, "litellm_call_id": "1", "additional_provider_specific_params": {},
        })
    };
    for direction in ["request", "response"] {
        let (_, _, passed) = server.post(path, &ask(direction, SAFE)).await;
        let none = json!({"action": "NONE", "blocked_reason": null, "texts": null});
        assert_eq!(passed, none, "{direction}");
        let (status, _, blocked) = server.post(path, &ask(direction, UNSAFE)).await;
        assert_eq!(
            (status.as_u16(), &blocked["action"]),
            (200, &json!("BLOCKED")),
            "{direction}"
        );
        let reason = blocked["blocked_reason"].as_str().unwrap();
        assert!(reason.contains("was found unsafe: "), "{reason}");
        assert!(!reason.contains("neighbour"), "{reason}");
    }
    let mut image = ask("request", SAFE);
    image["images"] = json!(["data:,"]);
    assert_eq!(server.post(path, &image).await.2["action"], "BLOCKED");
    let (status, _, _) = server.post(path, &json!({"input_type": "both"})).await;
    assert_eq!(status, 400);
    server.stop().await;
}

#[tokio::test]
async fn the_server_tells_of_itself() {
    let server = start(&options()).await;
    server.flags(UNSAFE).await;
    let (status, health) = server.get("/health").await;
    assert_eq!(
        (status.as_u16(), health.as_str()),
        (200, r#"{"live":true,"ready":true}"#)
    );
    let (_, models) = server.get("/v1/models").await;
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!(models["data"][0]["id"], "mini");
    let (_, metrics) = server.get("/metrics").await;
    assert!(
        metrics.contains("duoguard_verdicts_total{category="),
        "{metrics}"
    );
    assert!(
        metrics.contains("route=\"/v1/moderations\",status=\"200\"} 1"),
        "{metrics}"
    );
    assert!(!metrics.contains("neighbour"), "{metrics}");
    server.stop().await;
}
