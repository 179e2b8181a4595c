//! Several processes train the same model as one, to the bit.

use std::net::TcpListener;

use bedplate_crds::job::{TrainerJob, secret::Secret};

use crate::fixture::{Place, events, failure, signal, steps, wait, wait_until};

/// The same job for several ranks, at a port that is free now.
fn with_ranks(mut job: TrainerJob, ranks: u32) -> TrainerJob {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    job.spec.parallelism.data = ranks;
    job.spec.workers.num_nodes = ranks;
    job.rendezvous = Some(format!("127.0.0.1:{port}"));
    job.rendezvous_token = Some(Secret::new(format!("token of {}", job.output_dir.display())));
    job
}

#[test]
fn any_number_of_ranks_ends_in_the_same_bits() {
    let place = Place::new();
    let data = place.dataset("data");
    let mut alone = place.job("alone", &[&data]);
    alone.spec.evaluation.every_steps = 4;
    let digest = place.complete(&alone);
    let evaluations = |job: &TrainerJob| {
        let bodies = events(job).into_iter();
        bodies
            .filter(|body| matches!(body, bedplate_crds::job::progress::ProgressBody::Evaluation { .. }))
            .collect::<Vec<_>>()
    };
    let mut threads = place.job("threads", &[&data]);
    threads.threads = 3;
    assert_eq!(place.complete(&threads), digest, "three threads");
    for ranks in [2, 4, 8] {
        let mut job = place.job(&format!("ranks-{ranks}"), &[&data]);
        job.spec.evaluation.every_steps = 4;
        let job = with_ranks(job, ranks);
        assert_eq!(place.complete(&job), digest, "{ranks} ranks");
        assert_eq!(evaluations(&job), evaluations(&alone), "{ranks} ranks");
        let norms = |job: &TrainerJob| steps(job).iter().map(|step| step.grad_norm.to_bits()).collect::<Vec<_>>();
        assert_eq!(norms(&job), norms(&alone), "{ranks} ranks");
    }
}

#[test]
fn a_batch_that_is_no_power_of_two_sums_alike_and_ranks_may_change_between_attempts() {
    let place = Place::new();
    let data = place.dataset("data");
    let twelve = |name: &str| {
        let mut job = place.job(name, &[&data]);
        job.spec.schedule.global_batch_size = 12;
        job
    };
    let digest = place.complete(&twelve("alone"));
    let job = with_ranks(twelve("changing"), 4);
    assert_eq!(place.complete(&job), digest);
    std::fs::remove_dir_all(job.output_dir.join("checkpoints/step-0000000010")).unwrap();
    let job = with_ranks(twelve("changing"), 2);
    assert_eq!(place.complete(&job), digest);
    assert_eq!(steps(&job)[10].step, 6, "two ranks went on from what four had saved");
    assert_eq!(place.complete(&with_ranks(twelve("changing"), 2)), digest, "a complete job ends on every rank");
}

#[test]
fn a_killed_rank_ends_the_others_with_the_code_for_it() {
    let place = Place::new();
    let mut job = place.job("job", &[&place.dataset("data")]);
    job.spec.schedule.max_steps = 1_000_000;
    let job = with_ranks(job, 4);
    let mut ranks: Vec<_> = (0..4).map(|rank| place.start(&job, rank)).collect();
    assert!(wait_until(|| steps(&job).len() >= 2), "the ranks train");
    let victim = ranks.remove(3);
    signal(&victim, "KILL");
    assert_eq!(wait(victim).code, None);
    for rank in ranks {
        let ended = wait(rank);
        assert_eq!(ended.code, Some(13), "{}", ended.stderr);
    }
    let (message, exit_code) = failure(&job);
    assert_eq!(exit_code, 13);
    assert!(message.starts_with("lost rank "), "{message}");
}

#[test]
fn a_signal_to_one_rank_stops_all_after_the_same_step() {
    let place = Place::new();
    let data = place.dataset("data");
    let long = |name: &str| {
        let mut job = place.job(name, &[&data]);
        job.spec.schedule.max_steps = 600;
        job.spec.checkpoint.every_steps = 1_000;
        job
    };
    let digest = place.complete(&long("undisturbed"));
    let job = with_ranks(long("stopped"), 2);
    let ranks = [place.start(&job, 0), place.start(&job, 1)];
    assert!(wait_until(|| steps(&job).len() >= 3), "the ranks train");
    signal(&ranks[1], "TERM");
    for rank in ranks {
        let ended = wait(rank);
        assert_eq!(ended.code, Some(14), "{}", ended.stderr);
    }
    let stopped_at = steps(&job).last().unwrap().step;
    assert_eq!(place.complete(&with_ranks(long("stopped"), 2)), digest);
    let resumed_at = steps(&job)[stopped_at as usize].step;
    assert_eq!(resumed_at, stopped_at + 1);
}

#[test]
fn ranks_of_different_job_files_refuse_each_other() {
    let place = Place::new();
    let job = with_ranks(place.job("job", &[&place.dataset("data")]), 2);
    let mut other = job.clone();
    other.spec.schedule.learning_rate = 0.5;
    let ended = [place.start(&job, 0), place.start(&other, 1)].map(wait);
    let expected =
        "spec.schedule.learningRate is 0.5 on rank 1 and 0.01 on rank 0; start every rank with the same job file";
    for ended in &ended {
        assert_eq!(ended.code, Some(11));
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    assert_eq!(failure(&job), (expected.to_owned(), 11));
}

#[test]
fn a_rendezvous_port_in_use_is_named() {
    let place = Place::new();
    let mut job = with_ranks(place.job("job", &[&place.dataset("data")]), 2);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    job.rendezvous = Some(address.clone());
    assert_eq!(wait(place.start(&job, 0)).code, Some(10));
    let (message, _) = failure(&job);
    assert!(message.starts_with(&format!("cannot listen at the rendezvous {address}; free the port")), "{message}");
}
