//! Objects: what is taken, how they are listed and watched, and what goes wrong with requests.

use serde_json::{Value, json};

use super::api::{Api, JOBS, PODS, SECRETS, body, job, name, secret, uid};
use crate::fake_cluster::Fault;

#[tokio::test]
async fn what_is_not_a_good_job_is_refused_in_the_words_of_the_server() {
    let api = Api::new();
    let invalid = |job: Value| {
        let api = &api;
        async move {
            let (status, answer) = api.post(JOBS, &job).await;
            let message = answer["message"].as_str().unwrap_or_default().to_owned();
            (status, answer["reason"].clone(), message)
        }
    };
    let mut without_image = job("a", "exit");
    without_image["spec"]["template"]["spec"]["containers"][0]["image"] = "".into();
    assert_eq!(
        invalid(without_image).await,
        (
            422,
            json!("Invalid"),
            "Job.batch \"a\" is invalid: spec.template.spec.containers[0].image: Required value"
                .into()
        )
    );
    let (status, _, message) = invalid(job(&"a".repeat(64), "exit")).await;
    assert!(
        status == 422 && message.contains("must be no more than 63 bytes"),
        "{message}"
    );
    let (status, _, message) = invalid(job("A_b", "exit")).await;
    assert!(
        status == 422 && message.contains("lowercase RFC 1123 subdomain"),
        "{message}"
    );
    let mut number = job("a", "exit");
    number["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "N", "value": 1}]);
    let (status, reason, message) = invalid(number).await;
    assert_eq!((status, reason), (400, json!("BadRequest")), "{message}");
    let mut always = job("a", "exit");
    always["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    let (status, _, message) = invalid(always).await;
    assert!(
        status == 422 && message.contains("Unsupported value: \"Always\""),
        "{message}"
    );

    api.job("twice", "exit").await;
    let (status, reason, message) = invalid(job("twice", "exit")).await;
    assert_eq!(
        (status, reason, message.as_str()),
        (
            409,
            json!("AlreadyExists"),
            "jobs.batch \"twice\" already exists"
        )
    );
    let elsewhere = "/apis/batch/v1/namespaces/nowhere/jobs";
    let (status, answer) = api.post(elsewhere, &job("a", "exit")).await;
    assert_eq!(
        (status, &answer["message"]),
        (404, &json!("namespaces \"nowhere\" not found"))
    );
    let (status, answer) = api.get(elsewhere).await;
    assert_eq!((status, &answer["items"]), (200, &json!([])));
}

#[tokio::test]
async fn only_who_has_the_token_and_the_right_gets_in() {
    let api = Api::new();
    let old = api.cluster.token();
    api.cluster.renew_token();
    let url = format!("{}{PODS}", api.cluster.url());
    let answer = body(api.client.get(url).bearer_auth(old).send().await.unwrap()).await;
    assert_eq!(
        (answer.0, &answer.1["reason"]),
        (401, &json!("Unauthorized"))
    );

    api.cluster.deny("create", "jobs");
    let (status, answer) = api.post(JOBS, &job("a", "exit")).await;
    let message = "jobs.batch is forbidden: User \"system:serviceaccount:default:jobhook\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"default\"";
    assert_eq!((status, &answer["message"]), (403, &json!(message)));
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for (verb, allowed) in [("create", false), ("list", true)] {
        let attributes =
            json!({"namespace": "default", "verb": verb, "group": "batch", "resource": "jobs"});
        let review = json!({"spec": {"resourceAttributes": attributes}});
        let (status, answer) = api.post(reviews, &review).await;
        assert_eq!(
            (status, &answer["status"]["allowed"]),
            (201, &json!(allowed))
        );
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_by_selectors() {
    let api = Api::new();
    for name in ["a", "b", "c"] {
        api.post(SECRETS, &secret(name)).await;
    }
    let names = |list: &Value| {
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| name(item).to_owned())
            .collect::<Vec<_>>()
    };
    let (_, first) = api.get(&format!("{SECRETS}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    let token = first["metadata"]["continue"]
        .as_str()
        .unwrap()
        .replace(' ', "%20");
    let rest = format!("{SECRETS}?limit=2&continue={token}");
    assert_eq!(names(&api.get(&rest).await.1), ["c"]);
    for (selector, wanted) in [
        ("labelSelector=which%3Da", &["a"][..]),
        ("labelSelector=which%20in%20(a,c)", &["a", "c"]),
        ("labelSelector=which!%3Da", &["b", "c"]),
        ("labelSelector=!which", &[]),
        ("fieldSelector=metadata.name%3Db", &["b"]),
    ] {
        let (_, list) = api.get(&format!("{SECRETS}?{selector}")).await;
        assert_eq!(names(&list), wanted, "{selector}");
    }
    api.cluster.expire_watches();
    let (status, answer) = api.get(&rest).await;
    assert_eq!((status, &answer["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn a_watch_tells_what_happens_to_what_is_selected_until_it_expires() {
    let api = Api::new();
    let (_, list) = api.get(SECRETS).await;
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{SECRETS}?resourceVersion={revision}&labelSelector=which%3Da");
    let mut watch = api.watch(&path).await;
    api.post(SECRETS, &secret("b")).await;
    api.post(SECRETS, &secret("a")).await;
    let seen = watch.event().await;
    assert_eq!((seen.0.as_str(), seen.1.as_str()), ("ADDED", "a"));
    // What is not selected any more is gone for whoever sees nothing else.
    let patch = json!({"metadata": {"labels": {"which": "other"}}});
    api.patch(&format!("{SECRETS}/a"), &patch).await;
    assert_eq!(watch.event().await.0, "DELETED");
    api.cluster.expire_watches();
    let (kind, _, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["code"]), ("ERROR", &json!(410)));
    assert_eq!(watch.next().await.unwrap(), None);
    let mut late = api.watch(&path).await;
    assert_eq!(late.event().await.2["reason"], "Expired");
}

#[tokio::test]
async fn a_watch_says_how_far_it_is_and_ends_when_its_time_is_over() {
    let api = Api::new();
    let path = "/api/v1/namespaces/default/secrets?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    api.post(SECRETS, &secret("a")).await;
    let mut watch = api.watch(path).await;
    assert_eq!(watch.event().await.0, "ADDED");
    let (kind, _, object) = watch.event().await;
    let ends = &object["metadata"]["annotations"]["k8s.io/initial-events-end"];
    assert_eq!((kind.as_str(), ends), ("BOOKMARK", &json!("true")));
    assert_eq!(watch.event().await.0, "BOOKMARK");
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn what_has_an_owner_goes_with_it_and_at_once_if_that_never_was() {
    let api = Api::new();
    api.post(SECRETS, &secret("a")).await;
    api.job("owner", "exit 0").await;
    let owner = api.get(&format!("{JOBS}/owner")).await.1;
    let reference = |uid: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "owner", "uid": uid}]}});
    let (status, patched) = api
        .patch(&format!("{SECRETS}/a"), &reference(uid(&owner)))
        .await;
    assert_eq!(
        (
            status,
            patched["metadata"]["ownerReferences"]
                .as_array()
                .unwrap()
                .len()
        ),
        (200, 1)
    );
    api.condition("owner", "Complete");
    assert_eq!(api.get(&format!("{SECRETS}/a")).await.0, 200);
    let background = json!({"propagationPolicy": "Background"});
    api.delete(&format!("{JOBS}/owner"), &background).await;
    api.until_gone("secrets");

    api.post(SECRETS, &secret("b")).await;
    api.patch(&format!("{SECRETS}/b"), &reference("never-was"))
        .await;
    api.until_gone("secrets");
}

#[tokio::test]
async fn requests_go_wrong_as_planned_and_are_all_remembered() {
    let api = Api::new();
    api.cluster.fail("create", "jobs", 1, Fault::too_many(7));
    let response = api.request("POST", JOBS).json(&job("a", "exit")).send();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    api.cluster
        .fail("create", "jobs", 1, Fault::quota("jobs", "a"));
    let (status, answer) = api.post(JOBS, &job("a", "exit")).await;
    let message = answer["message"].as_str().unwrap();
    assert!(
        status == 403 && message.contains("exceeded quota"),
        "{message}"
    );
    // Done, but nobody hears of it.
    api.cluster.fail("create", "jobs", 1, Fault::CutAfter);
    let sent = api.request("POST", JOBS).json(&job("a", "exit")).send();
    assert!(sent.await.is_err());
    assert_eq!(api.post(JOBS, &job("a", "exit")).await.0, 409);
    api.cluster.fail("get", "jobs", 1, Fault::CutBody(20));
    let response = api
        .request("GET", &format!("{JOBS}/a"))
        .send()
        .await
        .unwrap();
    assert!(response.bytes().await.is_err());
    api.cluster.fail("list", "*", 1, Fault::CutBefore);
    assert!(api.request("GET", PODS).send().await.is_err());

    let requests = api.cluster.requests();
    let said: Vec<(&str, &str, Option<u16>)> = requests
        .iter()
        .map(|request| (request.verb, request.resource.as_str(), request.code))
        .collect();
    assert_eq!(
        said,
        [
            ("create", "jobs", Some(429)),
            ("create", "jobs", Some(403)),
            ("create", "jobs", Some(201)),
            ("create", "jobs", Some(409)),
            ("get", "jobs", Some(200)),
            ("list", "pods", None),
        ]
    );
    assert_eq!(requests[0].body["metadata"]["name"], "a");
}
