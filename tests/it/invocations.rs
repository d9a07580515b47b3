//! Scheduled invocations that fail: Lambda retries them, and a queue gets a record of those that it gives up.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

async fn records(world: &World) -> Vec<Value> {
    let queues = world.aws(Method::GET, "/_aws/sqs", None).await;
    let queues = queues["queues"].as_array().unwrap().iter();
    let failed = queues.filter(|queue| queue["name"].as_str().unwrap().contains("FailedInvocations"));
    let messages = failed.flat_map(|queue| queue["messages"].as_array().unwrap());
    messages.map(|message| serde_json::from_str(message["body"].as_str().unwrap()).unwrap()).collect()
}

/// The function is killed at its first call, as by a crash. The schedule of the connection has delivered its invocation, so only
/// Lambda retries it; the sweep, which is not affected, refreshes the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_refresh_that_crashes_is_retried_recorded_and_made_up_for() {
    let world = World::start().await;
    world.without_schedules_of(&["sync-messages", "renew-subscriptions", "sweep"]).await;
    world.connect(&world.tenant(), &world.user(0)).await.expect(303);
    let crash = json!({"function": "refresh-tokens", "operation": "GetItem"});
    world.aws_fault(crash, 0, None, json!({"kill": true})).await;
    // The schedule is within three and a half days and a fifth of it.
    world.advance(5 * 86_400).await;
    let faults = world.aws(Method::GET, "/_aws/faults", None).await;
    assert_eq!(faults[0]["fired"], 3, "one attempt and two retries");
    let [record] = &records(&world).await[..] else { panic!("one record") };
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestPayload"]["tenantId"], world.tenant().id.as_str());
    assert_eq!(world.count("token_refreshed").await, 0);

    world.no_faults().await;
    for _ in 0..3 {
        world.invoke("sweep", &json!({})).await;
        world.idle().await;
    }
    assert_eq!(world.count("token_refreshed").await, 1);
    world.advance(86_401).await;
    assert_eq!(records(&world).await, Vec::<Value>::new(), "a record is kept for a day");
}
