//! Actions that are launched with files, and what a launch allows its job beyond its own.

use jobhook_protocol::{Access, GrantBody};

use crate::action::{Action, ActionId, NewAction};
use crate::blob::BlobName;
use crate::file::{File, INPUTS, InputFile, ObjectLimits, ObjectRef};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{Refusal, Write};

fn with_files(files: Vec<InputFile>) -> NewAction {
    NewAction { files, ..echo() }
}

fn again(action: ActionId) -> NewAction {
    NewAction {
        retry_of: Some(action),
        inputs_of: Some(action),
        ..echo()
    }
}

fn insert(new: &NewAction) -> Write {
    Write::Insert(Box::new(new.clone()))
}

async fn files(clerk: &Clerk, action: ActionId) -> Vec<File> {
    clerk.files(&ObjectRef::of_action(action)).await
}

/// An action with two inputs, of the contents 1 and 2.
async fn with_inputs(clerk: &Clerk) -> Action {
    clerk.stage(content(1, "a")).await;
    clerk.stage(content(2, "b")).await;
    let new = with_files(vec![input("a", "x"), input("b", "y")]);
    clerk.launch(new).await
}

/// Whether bytes are still staged.
async fn is_staged(clerk: &Clerk, blob: &str) -> bool {
    let staged = clerk.store().staged(&BlobName(blob.into())).await;
    staged.unwrap().is_some()
}

pub async fn staged_files_become_the_inputs_of_an_action(clerk: Clerk) {
    let action = with_inputs(&clerk.at(after(3))).await.id;
    let object = ObjectRef::of_action(action);
    let file = |index, content, name| File {
        at: object.clone().property(INPUTS),
        index,
        content,
        fields: named(name),
        attempt: None,
        attached_at: after(3),
    };
    let expected = [file(0, content(1, "a"), "x"), file(1, content(2, "b"), "y")];
    assert_eq!(files(&clerk, action).await, expected);
    assert!(!is_staged(&clerk, "a").await && !is_staged(&clerk, "b").await);
    let object = clerk.store().object(&object).await.unwrap().unwrap();
    assert_eq!((object.count(INPUTS), object.bytes), (2, 3));
    assert_eq!(object.created_at, after(3));
    assert_eq!(clerk.at(after(3)).take().await.action, action);
}

pub async fn a_launch_with_a_file_that_is_not_staged_is_refused_whole(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    let new = with_files(vec![input("a", "x"), input("b", "y")]);
    let other = echo();
    let answers = clerk.batch(&[insert(&new), insert(&other)]).await;
    assert_eq!(answers[0], Err(Refusal::NoContent));
    assert!(answers[1].is_ok());
    assert_eq!(clerk.store().action(new.id).await.unwrap(), None);
    assert_eq!(files(&clerk, new.id).await, []);
    assert!(is_staged(&clerk, "a").await);
    assert_eq!(clerk.claim_ids(9).await, [other.id]);
}

pub async fn a_launch_with_an_id_that_is_taken_leaves_its_files_staged(clerk: Clerk) {
    let first = clerk.launch(echo()).await;
    clerk.stage(content(1, "a")).await;
    let new = NewAction {
        id: first.id,
        ..with_files(vec![input("a", "x")])
    };
    assert_eq!(clerk.write(insert(&new)).await, Err(Refusal::Exists));
    assert!(is_staged(&clerk, "a").await);
    assert_eq!(files(&clerk, first.id).await, []);
}

pub async fn one_staged_file_may_be_several_inputs(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    let names = ["x", "y", "x"].map(|name| input("a", name));
    let action = clerk.launch(with_files(names.into())).await.id;
    let files = files(&clerk, action).await;
    let names: Vec<_> = files
        .iter()
        .map(|file| file.fields.name.as_deref())
        .collect();
    assert_eq!(names, [Some("x"), Some("y")]);
    assert!(files.iter().all(|file| file.content == content(1, "a")));
    assert_eq!(clerk.store().stored().await.unwrap().bytes, 1);
    let new = with_files(vec![input("a", "x")]);
    assert_eq!(clerk.write(insert(&new)).await, Err(Refusal::NoContent));
}

pub async fn one_staged_file_belongs_to_one_of_two_launches_in_a_batch(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    let new = [0, 1].map(|_| with_files(vec![input("a", "x")]));
    let answers = clerk.batch(&[insert(&new[0]), insert(&new[1])]).await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(Refusal::NoContent));
}

pub async fn staged_bytes_that_are_stored_already_stay_staged(clerk: Clerk) {
    with_inputs(&clerk).await;
    clerk.stage(content(1, "c")).await;
    let new = with_files(vec![input("c", "x")]);
    let action = clerk.launch(new).await.id;
    let files = files(&clerk, action).await;
    assert_eq!(files[0].content, content(1, "a"));
    let unstage = Write::Unstage {
        blob: BlobName("c".into()),
    };
    clerk.write(unstage).await.unwrap();
}

pub async fn the_same_bytes_staged_twice_are_stored_once(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    clerk.stage(content(1, "b")).await;
    let new = with_files(vec![input("a", "x"), input("b", "y")]);
    let files = files(&clerk, clerk.launch(new).await.id).await;
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.content == content(1, "a")));
    assert!(!is_staged(&clerk, "a").await && is_staged(&clerk, "b").await);
}

pub async fn a_launch_has_no_more_files_than_it_may(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    clerk.stage(content(2, "b")).await;
    let limited = |files, bytes| NewAction {
        most: ObjectLimits { files, bytes },
        ..with_files(vec![input("a", "x"), input("b", "y"), input("a", "x")])
    };
    let refused = clerk.write(insert(&limited(1, 3))).await;
    assert_eq!(refused, Err(Refusal::TooManyFiles { limit: 1 }));
    let refused = clerk.write(insert(&limited(2, 2))).await;
    assert_eq!(refused, Err(Refusal::TooManyBytes { limit: 2 }));
    assert_eq!(clerk.claim_ids(9).await, []);
    clerk.launch(limited(2, 3)).await;
}

pub async fn an_action_may_have_the_inputs_of_another(clerk: Clerk) {
    let first = with_inputs(&clerk).await.id;
    let output = outputs(first);
    let output = attach(output, arrived(3, "c"), "z");
    clerk.attach(output).await.unwrap();
    let second = clerk.at(after(7)).launch(again(first)).await.id;
    let moved = |file: File| File {
        at: ObjectRef::of_action(second).property(INPUTS),
        attached_at: after(7),
        ..file
    };
    let inputs = files(&clerk, first).await.into_iter().take(2);
    let expected: Vec<File> = inputs.map(moved).collect();
    assert_eq!(files(&clerk, second).await, expected);
    assert_eq!(clerk.store().stored().await.unwrap().bytes, 6);

    clerk.stage(content(4, "d")).await;
    let third = NewAction {
        files: vec![input("d", "w")],
        ..again(second)
    };
    let files = files(&clerk, clerk.launch(third).await.id).await;
    let sizes: Vec<u64> = files.iter().map(|file| file.content.size).collect();
    assert_eq!(sizes, [1, 2, 4]);
}

pub async fn the_inputs_of_what_is_gone_or_has_none_are_none(clerk: Clerk) {
    let bare = clerk.launch(echo()).await.id;
    for other in [bare, echo().id] {
        let action = clerk.launch(again(other)).await.id;
        assert_eq!(files(&clerk, action).await, []);
        let object = ObjectRef::of_action(action);
        assert_eq!(clerk.store().object(&object).await.unwrap(), None);
    }
}

pub async fn an_action_may_have_the_inputs_of_another_in_its_batch(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    let first = with_files(vec![input("a", "x")]);
    let second = again(first.id);
    let answers = clerk.batch(&[insert(&first), insert(&second)]).await;
    assert!(answers.iter().all(Result::is_ok));
    let files = files(&clerk, second.id).await;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].content, content(1, "a"));
}

pub async fn grants_read_back_as_they_were_given(clerk: Clerk) {
    let grant = |store: &str, access| GrantBody {
        store: store.into(),
        uuid: "*".into(),
        property: "it's".into(),
        access,
    };
    let grants = vec![
        grant("images", Access::Read),
        grant("documents", Access::Write),
    ];
    let new = NewAction {
        grants: grants.clone(),
        ..echo()
    };
    let action = clerk.launch(new).await;
    assert_eq!(action.grants, grants);
    assert_eq!(clerk.action(action.id).await, action);
    let taken = clerk.take().await;
    clerk.say(taken, line("one")).await;
    assert_eq!(clerk.action(action.id).await.grants, grants);
}
