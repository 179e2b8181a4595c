//! The private Postgres: started once, shared, stopped by the last, and back after any death.

use std::{
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use bedplate_operator::store::local_server::LocalServer;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection, PgConnection};

use crate::database::open_folder;

async fn open(folder: &Path) -> LocalServer {
    LocalServer::open(folder).await.unwrap()
}

async fn remember(server: &LocalServer, word: &str) {
    let mut connection = PgConnection::connect_with(server.endpoint().options()).await.unwrap();
    sqlx::query("CREATE TABLE IF NOT EXISTS words (word text)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO words VALUES ($1)").bind(word).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn remembered(server: &LocalServer) -> Vec<String> {
    let mut connection = PgConnection::connect_with(server.endpoint().options()).await.unwrap();
    sqlx::query_scalar("SELECT word FROM words ORDER BY word").fetch_all(&mut connection).await.unwrap()
}

fn server_pid(server: &LocalServer) -> Pid {
    let text = std::fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap()
}

/// The pid of a process that is gone may be a zombie of init's for a moment.
fn wait_until_gone(pid: Pid) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while test_kill_process(pid).is_ok() && Instant::now() < deadline {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        if status.contains(") Z ") {
            return;
        }
        std::thread::yield_now();
    }
    assert!(test_kill_process(pid).is_err(), "process {pid:?} is still there");
}

#[tokio::test]
async fn a_private_server_keeps_what_it_was_told_and_leaves_nothing_running() {
    let dir = open_folder();
    let folder = dir.path().join("postgres");
    let server = open(&folder).await;
    remember(&server, "one").await;
    let pid = server_pid(&server);
    server.close().await.unwrap();
    wait_until_gone(pid);
    let server = open(&folder).await;
    assert_eq!(remembered(&server).await, ["one"]);
    server.close().await.unwrap();
}

#[tokio::test]
async fn the_first_to_come_starts_it_and_the_last_to_leave_stops_it() {
    let dir = open_folder();
    let folder = dir.path().join("postgres");
    let (first, second) = tokio::join!(open(&folder), open(&folder));
    let pid = server_pid(&first);
    assert_eq!(server_pid(&second), pid);
    first.close().await.unwrap();
    remember(&second, "still here").await;
    second.close().await.unwrap();
    wait_until_gone(pid);
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_it_was_told() {
    let dir = open_folder();
    let server = open(&dir.path().join("postgres")).await;
    remember(&server, "before").await;
    let pid = server_pid(&server);
    kill_process(pid, Signal::KILL).unwrap();
    wait_until_gone(pid);
    server.ensure_running().await.unwrap();
    remember(&server, "behind").await;
    assert_eq!(remembered(&server).await, ["before", "behind"]);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_server_left_by_a_killed_program_is_taken_over_and_stopped() {
    let dir = open_folder();
    let folder = dir.path().join("postgres");
    // Dropped and not closed: all that a killed program leaves is the running server.
    let pid = {
        let abandoned = open(&folder).await;
        server_pid(&abandoned)
    };
    let server = open(&folder).await;
    assert_eq!(server_pid(&server), pid);
    server.close().await.unwrap();
    wait_until_gone(pid);
}

#[tokio::test]
async fn a_pid_file_that_names_another_program_does_not_stop_the_start() {
    let dir = open_folder();
    let folder = dir.path().join("postgres");
    let server = open(&folder).await;
    let data = server.folder().join("data");
    server.close().await.unwrap();
    let stale = format!("{}\n{}\n1700000000\n5432\n\n\n\n", std::process::id(), data.display());
    std::fs::write(data.join("postmaster.pid"), stale).unwrap();
    let server = open(&folder).await;
    remember(&server, "started").await;
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_was_never_finished_is_made_anew() {
    let dir = open_folder();
    let folder = dir.path().join("postgres");
    std::fs::create_dir_all(folder.join("data.new")).unwrap();
    std::fs::write(folder.join("data.new/PG_VERSION"), "15\n").unwrap();
    let server = open(&folder).await;
    remember(&server, "made").await;
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_too_deep_for_a_socket_has_it_elsewhere() {
    let dir = open_folder();
    let folder = dir.path().join("deep".repeat(30)).join("with a 'quote").join("postgres");
    let server = open(&folder).await;
    let socket = server.endpoint().options().get_socket().unwrap().clone();
    assert!(socket.starts_with("/tmp") && !socket.starts_with(dir.path()), "{}", socket.display());
    remember(&server, "reached").await;
    server.close().await.unwrap();
    assert!(!socket.exists(), "{} was left behind", socket.display());
}

#[tokio::test]
async fn only_its_user_can_reach_it_and_that_is_never_root() {
    let dir = open_folder();
    let server = open(&dir.path().join("postgres")).await;
    let socket = server.endpoint().options().get_socket().unwrap().clone();
    let (socket, data) = (std::fs::metadata(socket).unwrap(), std::fs::metadata(server.folder().join("data")).unwrap());
    assert_eq!((socket.mode() & 0o777, data.mode() & 0o777), (0o700, 0o700));
    assert_ne!((socket.uid(), data.uid()), (0, 0));
    let process = std::fs::metadata(format!("/proc/{}", server_pid(&server).as_raw_nonzero())).unwrap();
    assert_ne!(process.uid(), 0);
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_the_server_cannot_reach_has_a_stand_in() {
    if !rustix::process::geteuid().is_root() {
        // Only root's server runs as somebody else.
        return;
    }
    let dir = open_folder();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let folder = dir.path().join("postgres");
    let server = open(&folder).await;
    let stand_in = server.folder().to_path_buf();
    assert!(!stand_in.starts_with(dir.path()), "{}", stand_in.display());
    remember(&server, "there").await;
    server.close().await.unwrap();
    let server = open(&folder).await;
    assert_eq!(remembered(&server).await, ["there"]);
    server.close().await.unwrap();
    std::fs::remove_dir_all(stand_in).unwrap();
}

/// Tests mostly run as root here; this runs one of them again as a user who is not.
#[test]
fn a_user_who_is_not_root_has_a_server_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: u32 = 65_534;
    let dir = open_folder();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let program = dir.path().join("tests");
    // By a process of its own: were the copy open for writing here while another test forks, it could not be executed.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    let test = "local_server::a_private_server_keeps_what_it_was_told_and_leaves_nothing_running";
    let mut again = Command::new(program);
    again.args(["--exact", test]).env("TMPDIR", dir.path()).current_dir(dir.path()).gid(NOBODY).uid(NOBODY);
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
