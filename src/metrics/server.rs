//! The HTTP server of `--metrics`: `/metrics`, `/health`, `/ready`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Metrics;

/// A server at work; it ends with this value.
#[derive(Debug)]
pub struct Server {
    /// Where it listens: the port is known also where 0 was asked for.
    pub address: SocketAddr,
    /// Ends with the value, and everything it does with it.
    _runtime: tokio::runtime::Runtime,
}

/// Serves on `host:port`.
pub fn serve(address: &str, metrics: Metrics) -> io::Result<Server> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("millstream-metrics")
        .enable_io()
        .enable_time()
        .build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(addresses.as_slice()))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, pages(metrics)).await {
            tracing::warn!(%error, "metrics are served no more");
        }
    });
    Ok(Server { address, _runtime: runtime })
}

fn pages(metrics: Metrics) -> Router {
    let (health, ready) = (metrics.clone(), metrics.clone());
    let said = |said: Result<(), String>| match said {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Router::new()
        .route("/metrics", get(move || async move { (text, metrics.text()).into_response() }))
        .route("/health", get(move || async move { said(health.health()) }))
        .route("/ready", get(move || async move { said(ready.ready()) }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::metrics::State;

    fn asked(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn metrics_health_and_readiness_are_pages() {
        let metrics = Metrics::default();
        let server = serve("127.0.0.1:0", metrics.clone()).unwrap();
        metrics.is("p", State::Starting);
        assert!(asked(&server, "/ready").starts_with("HTTP/1.1 503"));
        assert!(asked(&server, "/health").starts_with("HTTP/1.1 200"));
        metrics.batch("p", &crate::engine::BatchReport::default());
        assert!(asked(&server, "/ready").starts_with("HTTP/1.1 200"));
        let page = asked(&server, "/metrics");
        assert!(page.contains("text/plain; version=0.0.4"), "{page}");
        assert!(page.contains("millstream_batches_total{pipeline=\"p\"} 1"), "{page}");
        assert!(asked(&server, "/").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn the_port_is_free_again_when_the_server_is_gone() {
        let server = serve("127.0.0.1:0", Metrics::default()).unwrap();
        let address = server.address.to_string();
        assert!(serve(&address, Metrics::default()).is_err());
        drop(server);
        assert_eq!(serve(&address, Metrics::default()).unwrap().address.to_string(), address);
    }
}
