//! Plain HTTP to the cluster of these tests.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::fake_cluster::FakeCluster;

/// Longer than anything takes; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(super) const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// A client of one cluster.
pub(super) struct Api {
    pub(super) cluster: FakeCluster,
    pub(super) client: Client,
}

impl Api {
    pub(super) fn new() -> Api {
        // The client is made for TLS, though none is spoken here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Api {
            cluster: FakeCluster::start(),
            client: Client::new(),
        }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.cluster.url());
        let method = method.parse().unwrap();
        self.client
            .request(method, url)
            .bearer_auth(self.cluster.token())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        body(self.request("GET", path).send().await.unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, object: &Value) -> (u16, Value) {
        let sent = self.request("POST", path).json(object).send();
        body(sent.await.unwrap()).await
    }

    pub(super) async fn patch(&self, path: &str, patch: &Value) -> (u16, Value) {
        let request = self
            .request("PATCH", path)
            .header("content-type", "application/strategic-merge-patch+json")
            .body(patch.to_string());
        body(request.send().await.unwrap()).await
    }

    pub(super) async fn delete(&self, path: &str, options: &Value) -> (u16, Value) {
        let sent = self.request("DELETE", path).json(options).send();
        body(sent.await.unwrap()).await
    }

    pub(super) async fn watch(&self, path: &str) -> Lines {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}watch=true");
        let response = self.request("GET", &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Lines(response, Vec::new())
    }

    pub(super) async fn log(&self, pod: &Value, query: &str) -> Lines {
        let name = name(pod);
        let path = format!("{PODS}/{name}/log?{query}");
        let response = self.request("GET", &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Lines(response, Vec::new())
    }

    /// Launches a Job of one container that runs a shell script, and returns its name.
    pub(super) async fn job(&self, name: &str, script: &str) -> String {
        let (status, job) = self.post(JOBS, &job(name, script)).await;
        assert_eq!(status, 201, "{job}");
        name.to_owned()
    }

    pub(super) fn pod_of(&self, job: &str, phase: &str) -> Value {
        self.cluster.until(
            &format!("the pod of {job} is {phase}"),
            "pods",
            "",
            |pods| {
                let found = pods.iter().find(|pod| {
                    pod["metadata"]["labels"]["job-name"] == *job
                        && pod["status"]["phase"] == *phase
                });
                found.cloned()
            },
        )
    }

    /// Waits until a Job has a condition, and returns it.
    pub(super) fn condition(&self, job: &str, kind: &str) -> Value {
        self.cluster
            .until(&format!("{job} is {kind}"), "jobs", "", |jobs| {
                let found = jobs.iter().find(|found| name(found) == job)?;
                let conditions = found["status"]["conditions"].as_array()?;
                conditions
                    .iter()
                    .find(|known| known["type"] == *kind)
                    .cloned()
            })
    }

    pub(super) fn until_gone(&self, resource: &str) {
        self.cluster
            .until("it is gone", resource, "default", |all| {
                all.is_empty().then_some(())
            });
    }
}

/// An answer that comes line by line.
pub(super) struct Lines(Response, Vec<u8>);

impl Lines {
    /// The next line; `None` at the end, and the error if there is no proper one.
    pub(super) async fn next(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                return Ok(Some(String::from_utf8(line).unwrap().trim_end().to_owned()));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.0.chunk());
            match chunk.await.expect("something is said in time")? {
                Some(chunk) => self.1.extend(chunk),
                None if self.1.is_empty() => return Ok(None),
                None => {
                    let rest = std::mem::take(&mut self.1);
                    return Ok(Some(String::from_utf8(rest).unwrap()));
                }
            }
        }
    }

    /// Type and name of the next event, and its object.
    pub(super) async fn event(&mut self) -> (String, String, Value) {
        let line = self.next().await.unwrap().expect("an event");
        let event: Value = serde_json::from_str(&line).unwrap();
        let object = event["object"].clone();
        (
            event["type"].as_str().unwrap().to_owned(),
            name(&object).to_owned(),
            object,
        )
    }

    pub(super) async fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await.unwrap() {
            lines.push(line);
        }
        lines
    }
}

pub(super) async fn body(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

pub(super) fn job(name: &str, script: &str) -> Value {
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", script]});
    json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    })
}

pub(super) fn secret(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"which": name}}, "stringData": {"KEY": "value"}})
}
