//! The server behind the proxy.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::ServeError;
use crate::error::ApiError;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that are about one connection, and not about the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A server that speaks OpenAI's completions.
pub(crate) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    /// What stands before every path; no slash at its end.
    base: String,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    /// What is sent as `Authorization` in place of what the client sent.
    key: Option<HeaderValue>,
    /// Whether the client's own `Authorization` is for this server, and not for the upstream.
    keeps_client_key: bool,
    timeout: Duration,
}

impl Upstream {
    /// The upstream at a URL. `has_keys` says that clients open this server with keys of its own.
    pub(crate) fn new(
        url: &str,
        key: Option<&Path>,
        has_keys: bool,
        timeout: Duration,
    ) -> Result<Self, ServeError> {
        let wrong = || {
            ServeError::new(format!(
                "upstream {url:?} is not a URL such as http://127.0.0.1:8000"
            ))
        };
        let parts = url.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let scheme = parts
            .scheme
            .filter(|s| *s == Scheme::HTTP || *s == Scheme::HTTPS);
        let path = parts.path_and_query;
        if path.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(wrong());
        }
        // Clients know the base with /v1; it is in every path of theirs.
        let base = path
            .as_ref()
            .map_or("", PathAndQuery::path)
            .trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = match scheme == Some(Scheme::HTTPS) {
            true => connector
                .with_native_roots()
                .map_err(|cause| ServeError::new(format!("certificates of the system: {cause}")))?,
            // No certificate is ever looked at.
            false => connector.with_tls_config(
                tokio_rustls::rustls::ClientConfig::builder()
                    .with_root_certificates(tokio_rustls::rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            ),
        };
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_nodelay(true);
        http.enforce_http(false);
        let connector = connector
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self {
            scheme: scheme.ok_or_else(wrong)?,
            authority: parts.authority.ok_or_else(wrong)?,
            base,
            client,
            key: key.map(read_key).transpose()?,
            keeps_client_key: has_keys,
            timeout,
        })
    }

    /// Sends a request on; the answer's body has not come yet.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ApiError> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.base))
            .build();
        *request.uri_mut() = uri.map_err(|_| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "no such address",
            )
        })?;
        let headers = request.headers_mut();
        remove_hop_by_hop(headers);
        headers.remove(header::HOST);
        if self.keeps_client_key {
            headers.remove(header::AUTHORIZATION);
            headers.remove("x-api-key");
        }
        if let Some(key) = &self.key {
            headers.insert(header::AUTHORIZATION, key.clone());
        }
        let sent = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        let sent = sent.map_err(|_| {
            ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                format!(
                    "the upstream has not answered in {} s",
                    self.timeout.as_secs()
                ),
            )
        })?;
        let mut response = sent.map_err(|cause| {
            tracing::warn!(%cause, "the upstream cannot be reached");
            ApiError::new(
                StatusCode::BAD_GATEWAY,
                "upstream_unreachable",
                "the upstream cannot be reached, or broke off",
            )
        })?;
        remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

/// The key of a file, as a header.
fn read_key(path: &Path) -> Result<HeaderValue, ServeError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|cause| ServeError::new(format!("{shown}: cannot read: {cause}")))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim())).map_err(|_| {
        ServeError::new(format!(
            "{shown}: expected a key of visible characters, on one line"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(','));
    let named = named.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    for name in named.collect::<Vec<_>>() {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}
