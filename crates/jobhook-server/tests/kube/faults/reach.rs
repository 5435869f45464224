//! Clusters that are not reached directly: from a pod of their own, and through a proxy.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::cluster::{Cluster, Pod, token};
use crate::command::JOBHOOK;
use crate::fake_cluster::{FakeCluster, Request};
use crate::server::{Folder, Server};
use crate::unshare::unshared;

/// Where every pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn certificates() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../jobhook/tests/it/tls"
    ))
}

/// Something that stands before an API server, for as long as its runtime is there.
struct Front {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Front {
    /// Has `serve` take care of each connection.
    fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Front
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Front {
            address,
            _runtime: runtime,
        }
    }

    /// One that speaks TLS.
    fn tls(behind: SocketAddr) -> Front {
        let certificate = CertificateDer::from_pem_file(certificates().join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(certificates().join("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Front::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut tls = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut tls, &mut plain).await.map(drop)
            }
        })
    }

    /// A proxy that takes whoever asks for `host` to `behind`, and nobody else.
    fn proxy(host: &'static str, behind: SocketAddr) -> Front {
        Front::start(move |stream| async move {
            let mut stream = BufReader::new(stream);
            let mut asked = String::new();
            stream.read_line(&mut asked).await?;
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 2 {
                line.clear();
            }
            if !asked.starts_with(&format!("CONNECT {host} ")) {
                return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut plain = TcpStream::connect(behind).await?;
            copy_bidirectional(&mut stream, &mut plain).await.map(drop)
        })
    }

    /// A SOCKS5 proxy (RFC 1928) that takes whoever asks for `host` to `behind`, and nobody else.
    fn socks(host: &'static str, behind: SocketAddr) -> Front {
        Front::start(move |mut stream| async move {
            let [_, methods] = read(&mut stream).await?;
            stream.read_exact(&mut vec![0; methods.into()]).await?;
            stream.write_all(&[5, 0]).await?;
            let [_, _, _, kind, length] = read(&mut stream).await?;
            assert_eq!(kind, 3, "a name, which the proxy looks up");
            let mut name = vec![0; length.into()];
            stream.read_exact(&mut name).await?;
            let port = u16::from_be_bytes(read(&mut stream).await?);
            let is_known = format!("{}:{port}", String::from_utf8_lossy(&name)) == host;
            let answer = if is_known { 0 } else { 2 };
            stream
                .write_all(&[5, answer, 0, 1, 0, 0, 0, 0, 0, 0])
                .await?;
            if is_known {
                let mut plain = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut stream, &mut plain).await?;
            }
            Ok(())
        })
    }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn address_of(fake: &FakeCluster) -> SocketAddr {
    let url = fake.url();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A program that is `jobhook` in a pod: it finds a service account, and the API server in its
/// environment, which is `environment`.
fn in_a_pod(folder: &Folder, fake: &FakeCluster, environment: &str) -> std::path::PathBuf {
    let account = folder.path("account");
    fs::create_dir(&account).unwrap();
    fs::write(account.join("token"), fake.token()).unwrap();
    fs::write(account.join("namespace"), "jobs").unwrap();
    fs::copy(certificates().join("ca.pem"), account.join("ca.crt")).unwrap();
    let options = unshared(Path::new("/var/run")).expect(
        "no file system can be mounted here by `unshare`: run the tests as root, or allow it with\n  \
         sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    );
    let program = folder.path("in-a-pod");
    let script = format!(
        "#!/bin/sh\n\
         export {environment}\n\
         exec unshare {options} sh -c \
         'mount -t tmpfs account /var/run && mkdir -p {ACCOUNT} && ln -s \"$0\"/* {ACCOUNT} && exec \"$@\"' \
         '{}' '{JOBHOOK}' \"$@\"\n",
        account.display(),
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn serve_in_a_pod() -> (FakeCluster, Front, Server) {
    serve_in_a_pod_with(|front| {
        let (host, port) = (front.address.ip(), front.address.port());
        format!("KUBERNETES_SERVICE_HOST={host} KUBERNETES_SERVICE_PORT={port}")
    })
}

/// - `environment`: what it finds there, told what stands before the API server.
fn serve_in_a_pod_with(environment: impl FnOnce(&Front) -> String) -> (FakeCluster, Front, Server) {
    let fake = FakeCluster::start();
    fake.create_namespace("jobs");
    let front = Front::tls(address_of(&fake));
    let runner = "[runners.here]\ntype = \"KubeRunner\"\nactions = [\"T\"]\n\
        image = \"busybox\"\ncommand = [\"sh\", \"-c\", \"echo inside\"]\n";
    let folder = Folder::new(&(token() + runner));
    let program = in_a_pod(&folder, &fake, &environment(&front));
    let server = Server::start_in(folder, program);
    (fake, front, server)
}

#[test]
fn a_server_in_a_pod_finds_its_cluster_its_namespace_and_its_rights() {
    let (fake, _front, server) = serve_in_a_pod();
    server.whole(&[]).succeeded(&["inside"]);
    assert_eq!(fake.objects("jobs", "jobs").len(), 1);
}

/// The client reads it again once a minute.
#[test]
fn a_server_in_a_pod_goes_on_with_the_token_that_its_node_has_renewed() {
    let (fake, _front, server) = serve_in_a_pod();
    server.whole(&[]).succeeded(&["inside"]);
    let renewed = fake.offer_token();
    let account = server.folder.path("account");
    fs::write(account.join("renewed"), &renewed).unwrap();
    fs::rename(account.join("renewed"), account.join("token")).unwrap();
    while fake.token() != renewed {
        let before = fake.requests().len();
        // Whoever watches asks again.
        fake.cut_connections();
        fake.until_requests("it watches again", |requests| {
            let watches = |request: &&Request| request.verb == "watch" && request.open;
            requests[before..].iter().find(watches).map(drop)
        });
    }
    server.whole(&[]).succeeded(&["inside"]);
    // The time of the one before is over.
    fake.accept_token(&renewed);
    server.whole(&[]).succeeded(&["inside"]);
    let refused = fake
        .requests()
        .iter()
        .filter(|request| request.code == Some(401))
        .count();
    assert_eq!(
        refused, 0,
        "none was sent with a token that was not good any more"
    );
}

#[test]
fn outside_of_a_pod_and_without_a_kubeconfig_the_server_says_where_it_looked() {
    let runner = "[runners.here]\ntype = \"KubeRunner\"\nactions = [\"T\"]\nimage = \"busybox\"\n";
    let checked = Folder::new(runner).run(&["check"]);
    let said = format!("{}{}", checked.out, checked.err);
    assert_ne!(checked.code, Some(0), "{said}");
    for place in ["KUBECONFIG", "~/.kube/config", "does not run in a cluster"] {
        assert!(said.contains(place), "{said}");
    }
}

#[test]
fn a_server_in_a_pod_reaches_its_cluster_through_the_proxy_of_its_environment() {
    let mut proxy = None;
    let (_fake, _front, server) = serve_in_a_pod_with(|front| {
        // A name that only the proxy knows.
        let started = Front::proxy("kubernetes.default.svc:6443", front.address);
        let address = started.address;
        proxy = Some(started);
        format!(
            "KUBERNETES_SERVICE_HOST=kubernetes.default.svc KUBERNETES_SERVICE_PORT=6443 \
             HTTPS_PROXY=http://{address} NO_PROXY=10.0.0.0/8"
        )
    });
    server.whole(&[]).succeeded(&["inside"]);
}

/// What runs through a kubeconfig's `proxy-url`.
#[track_caller]
fn runs_through(scheme: &str, start: impl Fn(&'static str, SocketAddr) -> Front) {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let behind = address_of(fake);
    let proxy = start("cluster.invalid:6443", behind);
    let config = cluster.runner("T", &Pod::sh("echo through"));
    let path = cluster.kubeconfig();
    let kubeconfig = fs::read_to_string(&path).unwrap().replace(
        &format!("server: http://{behind}"),
        &format!(
            "server: http://cluster.invalid:6443\n    proxy-url: {scheme}://{}",
            proxy.address
        ),
    );
    // In place: a runner's own text, so that no other test's file is touched.
    let inline = serde_json::Value::from(kubeconfig).to_string();
    let config = config.replace(
        &serde_json::Value::from(path.display().to_string()).to_string(),
        &inline,
    );
    let server = cluster.serve(&config);
    server.whole(&[]).succeeded(&["through"]);
}

#[test]
fn the_proxy_of_a_kubeconfig_is_taken() {
    runs_through("http", Front::proxy);
}

#[test]
fn the_proxy_of_a_kubeconfig_may_speak_socks5() {
    runs_through("socks5", Front::socks);
}

#[test]
fn pods_that_are_told_an_address_of_their_own_are_warned_of() {
    let cluster = Cluster::fake(FakeCluster::start());
    let config = cluster.runner("T", &Pod::sh("exit"));
    let checked = Folder::new(&config).run(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.err.contains("warning") && checked.err.contains("`hook_url`"),
        "{checked:?}"
    );
    let seen = format!("{config}hook_url = \"http://10.0.0.1:9090\"\n");
    let checked = Folder::new(&seen).run(&["check"]);
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
}
