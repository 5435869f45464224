//! What a server clears up by itself.

use serde_json::json;

use crate::command::shell;
use crate::processes::until;
use crate::server::Server;

#[test]
fn a_server_removes_what_it_is_not_to_keep_and_nothing_else() {
    let runners = [shell("Good", "echo done", ""), shell("Bad", "exit 3", "")].concat();
    let server = Server::start(&format!(
        "{runners}[retention]\nsuccess = {{ count = 1 }}\n[housekeeping]\nprune = \"* * * * * *\"\n"
    ));
    let launch = |action_type: &str| {
        let id = server.launch(&json!({ "type": action_type }));
        server.end_of(&id);
        id
    };
    let (bad, first, last) = (launch("Bad"), launch("Good"), launch("Good"));
    let status_of = |path: &str| server.get(&format!("/api/v1/actions/{path}")).0;
    until("the first is removed", || status_of(&first) == 404);
    assert_eq!(status_of(&format!("{first}/logs")), 404);
    assert_eq!(server.action(&last)["status"], "SUCCESS");
    assert_eq!(server.action(&bad)["status"], "ERROR");
    let log = server.stderr();
    assert!(
        log.contains("beyond retention were removed removed=1"),
        "{log}"
    );
    assert!(!log.contains("creator created"), "{log}");
}
