//! One HTTP exchange over one connection, passed through as it is.
//!
//! Bodies stream in both directions with the pace of the slower side. After
//! `101 Switching Protocols` (attach, exec, session, grpc) both connections
//! become one tunnel, in which each direction ends by itself: a client that
//! has sent all of its input still reads the rest of the output.

use axum::body::Body;
use axum::http::header::UPGRADE;
use axum::http::{Request, StatusCode, Version};
use axum::response::Response;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};

/// Sends `request` over `io`, which it has for itself, and returns the answer
/// as soon as its head is there. Dropping the answer's body closes `io`.
///
/// # Errors
/// The other end broke off; it may have acted on the request.
pub async fn exchange<I>(io: I, mut request: Request<Body>) -> Result<Response, hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upgrade = request
        .headers()
        .contains_key(UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    *request.version_mut() = Version::HTTP_11;
    let (mut sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(io))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection broke off");
        }
    });
    let mut response = sender.send_request(request).await?;
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (response.status(), upgrade) {
        let server = hyper::upgrade::on(&mut response);
        tokio::spawn(tunnel(client, server));
    }
    Ok(response.map(Body::new))
}

/// Until both directions have ended.
async fn tunnel(client: OnUpgrade, server: OnUpgrade) {
    let copied = async {
        let (client, server) = tokio::try_join!(client, server).map_err(std::io::Error::other)?;
        copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await
    };
    if let Err(error) = copied.await {
        tracing::debug!(%error, "an upgraded connection broke off");
    }
}
