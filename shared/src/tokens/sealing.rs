//! The owner and the binding that a connection's tokens are sealed with.

use crate::model::connection::Connection;
use crate::vault::{Binding, Owner, Purpose};

pub(super) fn sealed_for(connection: &Connection, purpose: Purpose) -> (Owner<'_>, Binding<'_>) {
    (
        Owner { tenant: &connection.tenant, subject: connection.id.as_str(), purpose },
        Binding { generation: connection.generation, issuer: &connection.issuer },
    )
}
