//! `tenants`: for the operator.

use serde_json::{Value, json};

use super::Context;
use crate::api::{self, CreateTenantRequest, LimitsRequest, ListTenantsQuery, Tenant, UpdateTenantRequest};
use crate::args::TenantsCommand;
use crate::client::ApiReply;
use crate::error::CliResult;
use crate::times;

pub async fn run(context: &Context, command: TenantsCommand) -> CliResult<()> {
    let client = context.operator()?;
    let output = &context.output;
    match command {
        TenantsCommand::Create {
            name,
            requests_per_minute,
            tenant_requests_per_minute,
            connect_tokens_per_hour,
            return_url,
        } => {
            let limits = LimitsRequest {
                requests_per_minute,
                tenant_requests_per_minute,
                connect_tokens_per_hour,
                apps: None,
            };
            let request = CreateTenantRequest { name, limits: Some(limits), return_url };
            let key = uuid::Uuid::new_v4().to_string();
            let reply = client.call(&api::create_tenant(&request).with_idempotency_key(&key)).await?;
            show(context, &reply);
            if !output.json {
                output.note(&format!(
                    "Register its first app with: ringbridge apps register NAME --tenant {}",
                    reply.value.tenant_id
                ));
            }
        }
        TenantsCommand::List => list(context, &client).await?,
        TenantsCommand::Get { tenant_id } => show(context, &client.call(&api::get_tenant(&tenant_id)).await?),
        TenantsCommand::Suspend { tenant_id } => {
            set_status(context, &client, &tenant_id, "suspended").await?;
        }
        TenantsCommand::Resume { tenant_id } => set_status(context, &client, &tenant_id, "active").await?,
        TenantsCommand::Delete { tenant_id, yes } => {
            let tenant = client.call(&api::get_tenant(&tenant_id)).await?.value;
            let question = format!(
                "Delete the tenant {} with its connections, messages and encryption keys?",
                tenant.name
            );
            context.confirm(&question, yes)?;
            let reply = client.call(&api::delete_tenant(&tenant_id)).await?;
            if output.json {
                output.json(&reply.json());
            } else {
                output.line(&format!("{tenant_id} {}", output.status(&reply.value.status)));
            }
        }
    }
    Ok(())
}

async fn set_status(
    context: &Context,
    client: &crate::client::Client,
    id: &str,
    status: &str,
) -> CliResult<()> {
    let request = UpdateTenantRequest { status: Some(status.to_owned()), ..UpdateTenantRequest::default() };
    show(context, &client.call(&api::update_tenant(id, &request)).await?);
    Ok(())
}

async fn list(context: &Context, client: &crate::client::Client) -> CliResult<()> {
    let mut query = ListTenantsQuery { limit: Some(100), cursor: None };
    let (mut tenants, mut raw): (Vec<Tenant>, Vec<Value>) = (Vec::new(), Vec::new());
    loop {
        let reply = client.call(&api::list_tenants(&query)).await?;
        raw.extend(reply.json()["tenants"].as_array().cloned().unwrap_or_default());
        tenants.extend(reply.value.tenants);
        query.cursor = reply.value.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if context.output.json {
        context.output.json(&json!({ "tenants": raw }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = tenants
        .iter()
        .map(|tenant| {
            let limits = &tenant.limits;
            vec![
                tenant.tenant_id.clone(),
                tenant.name.clone(),
                tenant.status.clone(),
                format!("{}/{}", limits.requests_per_minute, limits.tenant_requests_per_minute),
                times::shown(&tenant.created_at),
            ]
        })
        .collect();
    context.output.table(&["id", "name", "status", "requests/min (key/tenant)", "created"], &rows);
    Ok(())
}

fn show(context: &Context, reply: &ApiReply<Tenant>) {
    if context.output.json {
        context.output.json(&reply.json());
        return;
    }
    let tenant = &reply.value;
    context.output.line(&format!(
        "{} {} {}",
        tenant.tenant_id,
        tenant.name,
        context.output.status(&tenant.status)
    ));
}
