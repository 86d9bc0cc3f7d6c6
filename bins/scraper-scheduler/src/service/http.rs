//! `/healthz`, `/readyz` and `/metrics`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{ALIVE, Handle, Stage, Status};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::prometheus;
use crate::failure::Failure;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 64;
/// How long a client may take to send the head of its request.
const HEAD: Duration = Duration::from_secs(10);

/// Begins to listen. What comes is answered by [`serve`].
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn bind(addr: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(addr)
        .await
        .map_err(|error| Failure::failed(format!("SCHEDULER_HTTP_ADDR: cannot listen on {addr}: {error}")))?;
    tracing::info!("listening on http://{} for /healthz, /readyz, /metrics", listener.local_addr()?);
    Ok(listener)
}

/// Answers requests until it is dropped.
pub(crate) async fn serve(listener: TcpListener, handle: Handle) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, for example: it may pass.
                tracing::warn!("an HTTP connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let handle = handle.clone();
                async move { Ok::<_, Infallible>(answer(&request, &handle).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
            if let Err(error) = connection {
                tracing::debug!("an HTTP connection ended: {error}");
            }
            drop(permit);
        });
    }
}

async fn answer(request: &Request<Incoming>, handle: &Handle) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here\n".to_owned());
    }
    match request.uri().path() {
        "/healthz" => verdict(healthy(handle.status())),
        "/readyz" => verdict(ready(handle.status())),
        "/metrics" => {
            let counts = handle.store().counts(handle.clock().now());
            // The numbers of the process are there even while the store is not.
            let counts = tokio::time::timeout(Duration::from_secs(2), counts).await;
            let body =
                prometheus::render(&handle.numbers(), counts.ok().and_then(Result::ok), handle.status());
            let mut response = text(StatusCode::OK, body);
            let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".to_owned()),
    }
}

/// Healthy is a process whose loop goes round, whatever the state of the database: a restart would not help that.
fn healthy(status: Status) -> Result<(), String> {
    if status.stage != Stage::Starting && status.quiet_for > ALIVE {
        return Err(format!("the loop has not gone round for {} s", status.quiet_for.as_secs()));
    }
    Ok(())
}

/// Ready is one that starts what is due.
fn ready(status: Status) -> Result<(), String> {
    healthy(status)?;
    match status.stage {
        Stage::Starting => Err("starting".to_owned()),
        Stage::Stopping | Stage::Stopped => Err("stopping".to_owned()),
        Stage::Running if status.store_away => Err("the job store cannot be reached".to_owned()),
        Stage::Running => Ok(()),
    }
}

fn verdict(result: Result<(), String>) -> Response<Full<Bytes>> {
    match result {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_makes_unready_but_not_unhealthy() {
        let status = |stage, store_away, quiet: u64| Status {
            stage,
            store_away,
            quiet_for: Duration::from_secs(quiet),
        };
        // (stage, store away, quiet for, healthy, ready)
        let cases = [
            (Stage::Starting, false, 0, true, false),
            (Stage::Running, false, 5, true, true),
            (Stage::Running, true, 5, true, false),
            (Stage::Running, false, 31, false, false),
            (Stage::Stopping, false, 0, true, false),
        ];
        for (stage, away, quiet, is_healthy, is_ready) in cases {
            let status = status(stage, away, quiet);
            assert_eq!(
                (healthy(status).is_ok(), ready(status).is_ok()),
                (is_healthy, is_ready),
                "{status:?}"
            );
        }
    }
}
