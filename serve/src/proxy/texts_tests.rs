use serde_json::json;

use super::*;

fn chat(body: Value, prompts: Prompts) -> Result<Vec<String>, ApiError> {
    chat_texts(body.as_object().unwrap(), &prompts)
}

fn conversation() -> Value {
    json!({"messages": [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{\"a\":1}"}},
        ]},
        {"role": "tool", "tool_call_id": "1", "content": "found"},
        {"role": "user", "content": [
            {"type": "text", "text": "second"}, {"type": "text", "text": "half"},
        ]},
    ]})
}

#[test]
fn the_last_user_message_or_all_of_them() {
    let last = Prompts::default();
    assert_eq!(chat(conversation(), last).unwrap(), ["second\nhalf"]);
    let all = Prompts {
        messages: Messages::All,
        ..Prompts::default()
    };
    let expected = ["rules", "first", "found", "second\nhalf"];
    assert_eq!(chat(conversation(), all).unwrap(), expected);
    let tools = Prompts {
        tools: true,
        ..Prompts::default()
    };
    let expected = ["{\"a\":1}", "found", "second\nhalf"];
    assert_eq!(chat(conversation(), tools).unwrap(), expected);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    for body in [
        json!({}),
        json!({"messages": "text"}),
        json!({"messages": [{"role": "user", "content": [image]}]}),
        json!({"messages": [{"role": "user", "content": 1}]}),
        json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
    ] {
        let error = chat(body.clone(), Prompts::default()).unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code),
            (400, "unchecked_input"),
            "{body}"
        );
    }
    let ids = json!({"prompt": [1, 2]});
    assert!(completion_texts(ids.as_object().unwrap()).is_err());
}

#[test]
fn completions_have_one_prompt_or_several() {
    for (body, expected) in [
        (json!({}), vec![]),
        (json!({"prompt": "a"}), vec!["a"]),
        (
            json!({"prompt": ["a", "b"], "suffix": "c"}),
            vec!["a", "b", "c"],
        ),
    ] {
        assert_eq!(
            completion_texts(body.as_object().unwrap()).unwrap(),
            expected
        );
    }
}

#[test]
fn leaves_are_texts_with_their_paths() {
    let delta = json!({
        "role": "assistant", "content": "a", "refusal": null,
        "tool_calls": [{"index": 3, "id": "x", "function": {"name": "f", "arguments": "b"}}],
    });
    let leaves = string_leaves(&delta);
    let expected = [("/content", "a"), ("/tool_calls/3/function/arguments", "b")];
    assert_eq!(leaves, expected.map(|(path, text)| (path.to_owned(), text)));
}
