//! Most managers are lost, and one goes on.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_manager_takes_over_when_the_others_are_lost() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let taker = Node::joined(&founder, Role::Manager).await;
    let other = Node::joined(&founder, Role::Manager).await;
    let mut lost = Node::joined(&founder, Role::Manager).await;
    until("four vote", || founder.voters() == 4).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    founder.run_service(2).await;
    until("two tasks run", || founder.running() == 2).await;
    let cluster = founder.manager().cluster().unwrap().id;
    let (other_id, lost_id) = (other.id(), lost.id());
    until("the taker knows them", || {
        taker.believes_alive(&[&founder, &other, &lost])
            && taker.state(|state| state.nodes().len() == 5)
    })
    .await;
    let refused = taker.swarm.take_over(None, None).await;
    assert!(matches!(refused, Err(SwarmError::Agreed { .. })));
    let refused = worker.swarm.take_over(None, None).await;
    assert!(matches!(refused, Err(SwarmError::NotManager)));

    founder.power_off().await;
    lost.power_off().await;
    until("nobody leads, and the lost are known", || {
        !taker.manager().has_leader()
            && [founder.id(), lost_id]
                .iter()
                .all(|id| taker.believes_dead(*id))
    })
    .await;
    let refused = taker.swarm.take_over(None, None).await;
    assert!(matches!(refused, Err(SwarmError::InReach { .. })));
    other.power_off().await;
    until("the other one is missed", || taker.believes_dead(other_id)).await;

    let id = taker.swarm.take_over(None, None).await.unwrap();
    assert_eq!(id, taker.id());
    assert_eq!(taker.manager().cluster().unwrap().id, cluster);
    let left = taker.state(|state| state.nodes().map(|node| node.id).collect::<Vec<_>>());
    let mut wanted = vec![taker.id(), worker.id()];
    wanted.sort_unstable();
    assert_eq!(left, wanted);
    until("two tasks run on those that are left", || {
        taker.running() == 2
    })
    .await;

    // It comes back with the old state, and is told.
    lost.restart().await;
    until("the removed one knows", || {
        *lost.membership().removed.borrow()
    })
    .await;
    lost.swarm.leave(true).await.unwrap();
    lost.join(&taker, &taker.token(Role::Manager))
        .await
        .unwrap();
    until("it votes again as a new node", || taker.voters() == 2).await;
}
