//! The walk from a Dataset to a deployment and back.

use bedplate_operator::{
    resource::Kind,
    store::{Artefact, ArtefactKind, Direction, Lineage, LineageStart, Store},
};
use uuid::Uuid;

use crate::{
    database::Database,
    events::{at, attempt, begin, checkpoint, completed, seconds_later},
};

async fn consume(store: &Store, attempt: Uuid, kind: ArtefactKind, digest: &str) {
    let artefact = Artefact { kind, digest: digest.to_owned(), uri: None, size_bytes: None };
    store.lineage_edge_insert(attempt, Direction::Input, &artefact, seconds_later(1)).await.unwrap();
}

/// Two Datasets, a training on the first with two checkpoints, the last of them served; another training on the second.
async fn thread(store: &Store) {
    for (name, digest) in [("rust", "aaaa1111"), ("prose", "bbbb2222")] {
        let id = store.attempt_insert(&attempt(Kind::Dataset, name, begin())).await.unwrap();
        store.progress_insert(id, &[at(1, completed(digest))], 1).await.unwrap();
    }
    let code = store.attempt_insert(&attempt(Kind::TrainingJob, "code", seconds_later(10))).await.unwrap();
    consume(store, code, ArtefactKind::Dataset, "aaaa1111").await;
    let events = [at(11, checkpoint(50, "cccc50")), at(12, checkpoint(100, "cccc100")), at(13, completed("cccc100"))];
    store.progress_insert(code, &events, 1).await.unwrap();
    let poems = store.attempt_insert(&attempt(Kind::TrainingJob, "poems", seconds_later(20))).await.unwrap();
    consume(store, poems, ArtefactKind::Dataset, "bbbb2222").await;
    let serve = store.attempt_insert(&attempt(Kind::ModelDeployment, "serve", seconds_later(30))).await.unwrap();
    consume(store, serve, ArtefactKind::Checkpoint, "cccc100").await;
}

fn names(lineage: &Lineage) -> (Vec<&str>, Vec<&str>) {
    let attempts = lineage.attempts.iter().map(|attempt| attempt.name.as_str()).collect();
    let mut digests: Vec<_> = lineage.artefacts.iter().map(|artefact| artefact.digest.as_str()).collect();
    digests.sort_unstable();
    (attempts, digests)
}

#[tokio::test]
async fn a_walk_goes_up_and_down_but_not_to_siblings() {
    let (_database, store) = Database::with_store().await;
    thread(&store).await;
    let walk = async |start| store.lineage_walk(start).await.unwrap();
    let deployment = walk(LineageStart::Name("serve")).await;
    assert_eq!(names(&deployment), (vec!["rust", "code", "serve"], vec!["aaaa1111", "cccc100"]));
    let training = walk(LineageStart::Name("code")).await;
    assert_eq!(names(&training), (vec!["rust", "code", "serve"], vec!["aaaa1111", "cccc100", "cccc50"]));
    let dataset = walk(LineageStart::Name("prose")).await;
    assert_eq!(names(&dataset), (vec!["prose", "poems"], vec!["bbbb2222"]));
}

#[tokio::test]
async fn a_walk_begins_at_the_first_digits_of_a_digest() {
    let (_database, store) = Database::with_store().await;
    thread(&store).await;
    let walk = async |start| store.lineage_walk(LineageStart::Digest(start)).await.unwrap();
    assert_eq!(names(&walk("cccc50").await), (vec!["rust", "code"], vec!["aaaa1111", "cccc50"]));
    let whole = walk("aaaa11").await;
    assert_eq!(names(&whole), (vec!["rust", "code", "serve"], vec!["aaaa1111", "cccc100", "cccc50"]));
    assert_eq!(walk("a%").await, Lineage::default());
    assert_eq!(walk("____").await, Lineage::default());
}

#[tokio::test]
async fn an_artefact_knows_its_step_and_where_it_lies() {
    let (_database, store) = Database::with_store().await;
    thread(&store).await;
    let lineage = store.lineage_walk(LineageStart::Name("serve")).await.unwrap();
    let facts: Vec<_> = lineage.artefacts.iter().map(|a| (a.kind.as_str(), a.step, a.uri.as_deref())).collect();
    assert!(facts.contains(&("Dataset", None, Some("file:///out"))), "{facts:?}");
    assert!(facts.contains(&("Checkpoint", Some(100), Some("file:///out/checkpoints/100"))), "{facts:?}");
    assert_eq!(lineage.attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn a_stage_that_yields_what_it_read_does_not_walk_for_ever() {
    let (_database, store) = Database::with_store().await;
    let id = store.attempt_insert(&attempt(Kind::Dataset, "same", begin())).await.unwrap();
    consume(&store, id, ArtefactKind::Dataset, "dddd").await;
    store.progress_insert(id, &[at(1, completed("dddd"))], 1).await.unwrap();
    let lineage = store.lineage_walk(LineageStart::Name("same")).await.unwrap();
    assert_eq!(lineage.edges.len(), 2);
}
