//! One entry for each route, by subject.

mod connecting;
mod events;
mod messages;
mod service;
mod tenancy;

use crate::operation::Operation;

/// All operations, in the order of the API reference.
pub fn all() -> Vec<(&'static str, Operation)> {
    let subjects = [
        ("Connecting RingCentral", connecting::operations()),
        ("Messages", messages::operations()),
        ("Events and webhooks", events::operations()),
        ("Apps and keys", tenancy::of_apps()),
        ("Tenants", tenancy::of_tenants()),
        ("Service", service::operations()),
    ];
    subjects
        .into_iter()
        .flat_map(|(subject, operations)| operations.into_iter().map(move |operation| (subject, operation)))
        .collect()
}
