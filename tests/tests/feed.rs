//! The feed of all changes: in one order, without a gap, whoever wrote them and whoever reads.

use std::collections::{BTreeMap, BTreeSet};

use tonic::{Code, Streaming};
use vfolder_proto::v1::{MountMode, VFolderEvent, WatchVFoldersRequest, WatchVFoldersResponse};
use vfolder_tests::{
    Engine, System, User, assert_refused, eventually, on_each_engine, on_postgres,
};

use crate::history::history;

on_each_engine!(
    a_reader_who_comes_and_goes_hears_of_everything_once,
    a_user_hears_of_what_the_user_sees,
    a_token_of_another_database_has_expired,
    what_was_removed_unread_is_a_gap_and_is_called_one,
);
on_postgres!(the_feed_is_one_whichever_manager_writes_and_whichever_is_read);

type Feed = Streaming<WatchVFoldersResponse>;

async fn feed(user: &User, token: &str) -> Result<Feed, tonic::Status> {
    let request = WatchVFoldersRequest {
        resume_token: token.into(),
    };
    let answer = user.vfolders.clone().watch_v_folders(request).await;
    Ok(answer?.into_inner())
}

/// Where the feed is now.
async fn now(user: &User) -> String {
    let mut stream = feed(user, "").await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    assert!(first.event.is_none() && first.vfolder.is_none());
    first.resume_token
}

/// Changes of several vfolders by callers who don't wait for each other.
async fn changes(users: &[User], rounds: usize) -> BTreeSet<String> {
    let work = users.iter().cloned().enumerate().map(|(n, user)| {
        tokio::spawn(async move {
            let mut ids = BTreeSet::new();
            for round in 0..rounds {
                let id = user.create(&format!("data-{n}-{round}")).await.unwrap().id;
                let mount = user.mount(&id, "s", MountMode::ReadOnly).await.unwrap();
                user.unmount(&mount).await.unwrap();
                let clone = user
                    .clone_to(&id, &format!("copy-{n}-{round}"))
                    .await
                    .unwrap();
                let ended = user.wait(&clone.name).await;
                ids.insert(vfolder_tests::operation_metadata(&ended).vfolder_id);
                user.trash(&id).await.unwrap();
                ids.insert(id);
            }
            ids
        })
    });
    let mut ids = BTreeSet::new();
    for done in futures_util::future::join_all(work).await {
        ids.extend(done.unwrap());
    }
    ids
}

/// Reads from a token on until everything in `expected` has been heard of, hanging up after every few messages and
/// going on with another of `readers`.
async fn read(readers: &[User], token: &mut String, expected: usize) -> Vec<VFolderEvent> {
    let mut heard = Vec::new();
    for turn in 0.. {
        if heard.len() >= expected {
            break;
        }
        let Ok(mut stream) = feed(&readers[turn % readers.len()], token).await else {
            continue;
        };
        let patience = 3 + turn % 11;
        let mut messages = 0;
        while messages < patience && heard.len() < expected {
            let Ok(Some(news)) = stream.message().await else {
                break;
            };
            *token = news.resume_token;
            heard.extend(news.event);
            messages += 1;
        }
    }
    heard
}

async fn assert_complete(admin: &User, ids: &BTreeSet<String>, heard: &[VFolderEvent]) {
    let mut by_vfolder: BTreeMap<&str, Vec<VFolderEvent>> = BTreeMap::new();
    for event in heard {
        by_vfolder
            .entry(&event.vfolder_id)
            .or_default()
            .push(event.clone());
    }
    for id in ids {
        assert_eq!(
            by_vfolder.remove(id.as_str()).unwrap_or_default(),
            history(admin, id).await
        );
    }
    assert!(by_vfolder.is_empty(), "{by_vfolder:?}");
}

async fn events_of(admin: &User, ids: &BTreeSet<String>) -> usize {
    let mut count = 0;
    for id in ids {
        count += history(admin, id).await.len();
    }
    count
}

async fn a_reader_who_comes_and_goes_hears_of_everything_once(engine: Engine) {
    let mut system = System::start(engine).await;
    let admin = system.admin();
    let mut token = now(&admin).await;
    let users: Vec<User> = (0..6).map(|n| system.user(&format!("user-{n}"))).collect();
    let writing = tokio::spawn(async move { changes(&users, 3).await });
    let mut heard = read(&[admin], &mut token, 40).await;
    let mut ids = writing.await.unwrap();
    system.manager.kill();
    system.start_manager().await;

    let users: Vec<User> = (0..6).map(|n| system.user(&format!("other-{n}"))).collect();
    ids.extend(changes(&users, 3).await);
    let admin = system.admin();
    let rest = events_of(&admin, &ids).await - heard.len();
    heard.extend(read(std::slice::from_ref(&admin), &mut token, rest).await);
    assert_complete(&admin, &ids, &heard).await;
}

async fn the_feed_is_one_whichever_manager_writes_and_whichever_is_read(engine: Engine) {
    let system = System::start(engine).await;
    let others = [
        system.another_manager("manager-2").await,
        system.another_manager("manager-3").await,
    ];
    let at = |n: usize, token: &str| match n % 3 {
        0 => system.caller(token),
        n => User::new(others[n - 1].channel(), token),
    };
    let root = system.tokens.admin("root");
    let readers: Vec<User> = (0..3).map(|n| at(n, &root)).collect();
    let token = now(&readers[0]).await;
    let users: Vec<User> = (0..6)
        .map(|n| at(n, &system.tokens.user(&format!("user-{n}"))))
        .collect();
    let writing = tokio::spawn(async move { changes(&users, 5).await });
    // While they write: what is read early must not overtake what commits late.
    let early = read(&readers, &mut token.clone(), 60).await;
    let ids = writing.await.unwrap();
    let all = events_of(&readers[0], &ids).await;
    let heard = read(&readers, &mut token.clone(), all).await;
    assert_eq!(heard[..early.len()], early[..]);
    assert_complete(&readers[0], &ids, &heard).await;
}

async fn a_user_hears_of_what_the_user_sees(engine: Engine) {
    let system = System::start(engine).await;
    let (alice, bob) = (system.user("alice"), system.member("bob", &["p"]));
    let mut token = now(&bob).await;
    let hers = alice.create("hers").await.unwrap().id;
    let his = bob.create("his").await.unwrap().id;
    alice.trash(&hers).await.unwrap();
    bob.trash(&his).await.unwrap();
    let expected = history(&bob, &his).await;
    assert_eq!(read(&[bob], &mut token, expected.len()).await, expected);
}

async fn a_token_of_another_database_has_expired(engine: Engine) {
    let system = System::start(engine).await;
    let foreign = now(&system.admin()).await;
    let other = format!("UPDATE feed SET id = '{}'", uuid::Uuid::now_v7());
    system.database.execute(&other).await;
    let answer = feed(&system.admin(), &foreign).await;
    assert_refused(answer.map(drop), Code::OutOfRange, "FEED_EXPIRED");
}

async fn what_was_removed_unread_is_a_gap_and_is_called_one(engine: Engine) {
    let mut system = System::start(engine).await;
    let (alice, admin) = (system.user("alice"), system.admin());
    let token = now(&admin).await;
    let id = alice.create("data").await.unwrap().id;
    alice.trash(&id).await.unwrap();
    let purge = alice.purge(&id).await.unwrap();
    alice.wait(&purge.name).await;
    // Its time as a tombstone is over.
    let long_ago = system.database.time(-400 * 86_400);
    system
        .database
        .execute(&format!(
            "UPDATE vfolders SET update_time = {long_ago} WHERE id = '{id}'"
        ))
        .await;
    system.manager.kill();
    system.start_manager().await;
    let admin = system.admin();
    eventually("the record is removed", async || admin.get(&id).await.err()).await;
    assert_refused(
        feed(&admin, &token).await.map(drop),
        Code::OutOfRange,
        "FEED_EXPIRED",
    );
    // Begun anew, it goes on.
    let fresh = now(&admin).await;
    feed(&admin, &fresh).await.unwrap();
}
