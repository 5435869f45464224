//! https: who is trusted, and what is said of who is not.
//!
//! The certificates in `tls/` are good for a hundred years; the CA's key was thrown away.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jobhook::protocol::JobEnvironment;
use jobhook::testing::FakeHook;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::PATIENCE;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tls")
        .join(name)
}

/// Speaks TLS, and these protocols over it.
fn acceptor(protocols: &[&[u8]]) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A proxy that speaks https before the hook; gives the environment to reach it by.
async fn https_before(hook: &FakeHook) -> JobEnvironment {
    let acceptor = acceptor(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut environment = hook.environment();
    environment.hook = format!("https://{}/async", listener.local_addr().unwrap());
    let behind = hook.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut tls = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut tls, &mut plain).await
            });
        }
    });
    environment
}

#[tokio::test]
async fn an_unknown_ca_is_told_with_the_whole_chain_of_causes() {
    let hook = FakeHook::start().unwrap();
    let environment = https_before(&hook).await;
    let job = hook.job().environment(environment);
    let job = job.patience(Duration::from_millis(100)).build().unwrap();
    job.log("a").unwrap();
    let error = job.flush_async(PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), "server_unreachable");
    assert!(
        error
            .to_string()
            .contains("invalid peer certificate: UnknownIssuer"),
        "{error}"
    );
    assert_eq!(hook.requests(), 0);
}

#[tokio::test]
async fn a_ca_of_ones_own_is_trusted_where_it_is_named() {
    let hook = FakeHook::start().unwrap();
    let environment = https_before(&hook).await;
    let job = hook.job().environment(environment).ca_file(file("ca.pem"));
    let job = job.build().unwrap();
    job.log("a").unwrap();
    job.succeed_async(&()).await.unwrap();
    assert_eq!(hook.lines(), ["a"]);
}

#[tokio::test]
async fn http_2_is_spoken_over_one_connection_where_it_is_offered() {
    let hook = FakeHook::start().unwrap();
    let acceptor = acceptor(&[b"h2", b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut environment = hook.environment();
    environment.hook = format!("https://{}/async", listener.local_addr().unwrap());
    let (heard, mut requests) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        // The only connection that is accepted.
        let (stream, _) = listener.accept().await.unwrap();
        let tls = acceptor.accept(stream).await.unwrap();
        let answer = service_fn(move |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            heard.send((request.version(), path)).unwrap();
            async { Ok::<_, std::convert::Infallible>(Response::new("{}".to_owned())) }
        });
        let connection = http2::Builder::new(TokioExecutor::new());
        connection.serve_connection(TokioIo::new(tls), answer).await
    });
    let job = hook.job().environment(environment).ca_file(file("ca.pem"));
    let job = job.build().unwrap();
    for number in 0..3 {
        job.log(format!("line {number}")).unwrap();
        job.flush_async(PATIENCE).await.unwrap();
        let (version, path) = requests.recv().await.unwrap();
        assert_eq!((version, path.as_str()), (Version::HTTP_2, "/async/status"));
    }
    job.close_async().await.unwrap();
    drop(job);
    serving.abort();
}
