//! The logs of services and tasks.

use bytes::Bytes;
use serde_json::json;
use services::{Command, Id, Timestamp};

use super::fake::Fake;
use super::{get, post};
use crate::runtime::{LogFrame, LogOptions, LogStream};

/// A service of two running tasks, and their ids.
async fn two_tasks(tty: bool) -> (Fake, Vec<Id>) {
    let fake = Fake::active();
    let spec = json!({
        "Name": "web",
        "TaskTemplate": {"ContainerSpec": {"Image": "x", "TTY": tty}},
        "Mode": {"Replicated": {"Replicas": 2}},
    });
    assert_eq!(post(&fake, "/services/create", &spec).await.status, 201);
    let tasks = fake.edit(|swarm| {
        swarm.run_all();
        swarm.state.tasks().map(|task| task.id).collect()
    });
    (fake, tasks)
}

fn line(stream: LogStream, text: &'static str) -> LogFrame {
    LogFrame {
        stream,
        at: Some(Timestamp(1_795_215_734_080_000_000)),
        details: String::new(),
        data: Bytes::from_static(text.as_bytes()),
    }
}

/// `(stream, text)` of each frame.
fn frames(mut body: &[u8]) -> Vec<(u8, String)> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_at(8);
        let length = u32::from_be_bytes(head[4..].try_into().unwrap()) as usize;
        let (text, rest) = rest.split_at(length);
        frames.push((head[0], String::from_utf8(text.to_vec()).unwrap()));
        body = rest;
    }
    frames
}

#[tokio::test]
async fn the_lines_of_all_tasks_come_in_one_stream() {
    let (fake, tasks) = two_tasks(false).await;
    fake.edit(|swarm| {
        swarm
            .logs
            .insert(tasks[0], Ok(vec![line(LogStream::Stdout, "a\n")]));
        swarm
            .logs
            .insert(tasks[1], Ok(vec![line(LogStream::Stderr, "b\n")]));
    });
    let answer = get(&fake, "/services/web/logs?stdout=1&stderr=1&tail=5").await;
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.docker.multiplexed-stream"
    );
    let mut read = frames(&answer.body);
    read.sort();
    assert_eq!(read, [(1, "a\n".to_owned()), (2, "b\n".to_owned())]);
    let asked = fake.edit(|swarm| swarm.log_options.borrow().clone());
    assert!(
        asked
            .iter()
            .all(|options| options.tail == Some(5) && !options.follow)
    );
}

#[tokio::test]
async fn details_name_the_node_the_service_and_the_task() {
    let (fake, tasks) = two_tasks(false).await;
    fake.edit(|swarm| {
        swarm
            .logs
            .insert(tasks[0], Ok(vec![line(LogStream::Stdout, "a\n")]));
    });
    let path = format!(
        "/v1.41/tasks/{}/logs?stdout=1&details=1&timestamps=1",
        tasks[0]
    );
    let answer = get(&fake, &path).await;
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.docker.raw-stream"
    );
    let (node, service) = fake.edit(|swarm| {
        let task = swarm.state.task(tasks[0]).unwrap();
        (task.node.unwrap(), task.service)
    });
    let expected = format!(
        "2026-11-20T23:02:14.080000000Z com.docker.swarm.node.id={node},\
         com.docker.swarm.service.id={service},com.docker.swarm.task.id={} a\n",
        tasks[0]
    );
    assert_eq!(frames(&answer.body), [(1, expected)]);
}

#[tokio::test]
async fn a_terminals_log_is_not_framed() {
    let (fake, tasks) = two_tasks(true).await;
    fake.edit(|swarm| {
        swarm
            .logs
            .insert(tasks[0], Ok(vec![line(LogStream::Stdout, "$ \n")]));
    });
    let answer = get(&fake, "/services/web/logs?stdout=1").await;
    assert_eq!(answer.body, b"$ \n");
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.docker.raw-stream"
    );
}

#[tokio::test]
async fn a_node_that_does_not_answer_does_not_hide_the_other_tasks() {
    let (fake, tasks) = two_tasks(false).await;
    fake.edit(|swarm| {
        swarm.logs.insert(tasks[0], Err("node is away".into()));
        swarm
            .logs
            .insert(tasks[1], Ok(vec![line(LogStream::Stdout, "b\n")]));
    });
    let answer = get(&fake, "/services/web/logs?stdout=1").await;
    let read = frames(&answer.body);
    assert_eq!(read[0], (1, "b\n".to_owned()));
    assert_eq!(read[1].0, 3);
    let expected = format!("reasons: task {}: node is away\n", tasks[0]);
    assert!(read[1].1.ends_with(&expected), "{}", read[1].1);
}

#[tokio::test]
async fn a_task_that_starts_later_joins_a_followed_log() {
    let (fake, tasks) = two_tasks(false).await;
    let waiting = fake.edit(|swarm| swarm.observed.tasks.remove(&tasks[1]).unwrap());
    let mut asked = fake.edit(|swarm| {
        let first = vec![line(LogStream::Stdout, "a\n")];
        swarm.logs.insert(tasks[0], Ok(first));
        let second = vec![line(LogStream::Stdout, "b\n")];
        swarm.logs.insert(tasks[1], Ok(second));
        swarm.log_options.subscribe()
    });
    let path = "/services/web/logs?stdout=1&follow=1&tail=0";
    let follower = {
        let fake = fake.clone();
        tokio::spawn(async move { get(&fake, path).await })
    };
    asked.wait_for(|asked| asked.len() == 1).await.unwrap();
    fake.edit(|swarm| swarm.observed.tasks.insert(tasks[1], waiting));
    let tails = |asked: &[LogOptions]| asked.iter().map(|it| it.tail).collect::<Vec<_>>();
    let both = asked.wait_for(|asked| asked.len() == 2).await.unwrap();
    // All that it wrote is new.
    assert_eq!(tails(&both), [Some(0), None]);
    drop(both);
    // With its service the log ends.
    fake.edit(|swarm| {
        let id = swarm.state.task(tasks[0]).unwrap().service;
        swarm.apply(Command::RemoveService { id }).unwrap();
    });
    let answer = follower.await.unwrap();
    let expected = [(1, "a\n".to_owned()), (1, "b\n".to_owned())];
    assert_eq!(frames(&answer.body), expected);
}
