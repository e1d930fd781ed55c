//! Sync mounted in a plain hyper server, beside routes of its own.
//!
//! ```text
//! GET /             the application's page
//! GET /hello        the application's route
//! /sync/…           livestore: clients are given ws://host:port/sync or http://host:port/sync
//! ```
//!
//! Frameworks on tower, such as axum, need none of this: [`SyncService`] is a `tower::Service` and is mounted with
//! `Router::nest_service("/sync", service)`.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use livestore_server::{PeerAddr, SyncBody, SyncService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where sync is mounted.
pub const MOUNT: &str = "/sync";

/// Serves until `stop` resolves, then lets everybody finish.
pub async fn serve(listener: TcpListener, sync: SyncService, stop: impl Future<Output = ()>) {
    // Connections hold receivers: a message makes them finish, and when the last receiver is gone, all have.
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tokio::spawn(connection(stream, PeerAddr(peer), sync.clone(), stopped.clone()));
                }
                Err(error) => {
                    eprintln!("a connection could not be accepted: {error}");
                    // Mostly for want of file descriptors, which lasts.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut stop => break,
        }
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    // WebSockets have left hyper's connections, so both have to end.
    tokio::join!(sync.shutdown(), stopping.closed());
}

async fn connection(
    stream: TcpStream,
    peer: PeerAddr,
    sync: SyncService,
    mut stopped: watch::Receiver<bool>,
) {
    let answer = service_fn(move |mut request: Request<Incoming>| {
        // What an authorizer is told of who comes; a user that this server knows could go along.
        request.extensions_mut().insert(peer);
        answer(sync.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer)
        // Or there are no WebSockets.
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        // A connection that breaks is its client's business.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|is_stopped| *is_stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The routes.
async fn answer(sync: SyncService, request: Request<Incoming>) -> Result<Response<SyncBody>, Infallible> {
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => {
            text(StatusCode::OK, "this server has routes of its own, and sync below /sync\n")
        }
        (&Method::GET, "/hello") => text(StatusCode::OK, "hello\n"),
        _ => match below_mount(request) {
            Some(request) => sync.answer(request).await,
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        },
    };
    Ok(response)
}

/// The request as livestore knows it, if it is for it: with the path below the mount.
fn below_mount(mut request: Request<Incoming>) -> Option<Request<Incoming>> {
    let whole = request.uri().path_and_query()?.as_str();
    let below = whole.strip_prefix(MOUNT).filter(|below| below.starts_with('/'))?;
    let below: PathAndQuery = below.parse().ok()?;
    *request.uri_mut() = Uri::from(below);
    Some(request)
}

/// All routes answer with one type of body, that of livestore.
fn text(status: StatusCode, text: &'static str) -> Response<SyncBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(SyncBody::new(body));
    *response.status_mut() = status;
    response
}
