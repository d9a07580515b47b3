//! Enforces the policies of the functions' roles, and the key policies, as IAM does.

use super::error::AwsError;
use crate::iam_policy::{IamPolicy, RequiredPermission};
use crate::names;
use crate::template::Template;
use anyhow::Result;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct FunctionPolicies {
    /// `FunctionName` and policy by folder name.
    roles: BTreeMap<String, (String, IamPolicy)>,
    /// By ARN. A key policy can only restrict what a role's policies allow.
    keys: BTreeMap<String, IamPolicy>,
}

impl FunctionPolicies {
    pub fn new(template: &Template) -> Result<Self> {
        let mut roles = BTreeMap::new();
        for function in &template.functions {
            let mut policy = IamPolicy::default();
            for document in &function.policies {
                policy.extend(IamPolicy::parse(document)?);
            }
            roles.insert(function.binary.clone(), (function.name.clone(), policy));
        }
        let mut keys = BTreeMap::new();
        for key in &template.keys {
            if let Some(document) = &key.policy {
                keys.insert(names::key_arn(&key.id), IamPolicy::parse(document)?);
            }
        }
        Ok(Self { roles, keys })
    }

    /// Whether the template has this function.
    #[must_use]
    pub fn knows(&self, function: &str) -> bool {
        self.roles.contains_key(function)
    }

    /// Rejects a call that the policies do not allow.
    pub fn check(&self, function: &str, permissions: &[RequiredPermission]) -> Result<(), AwsError> {
        let Some((name, policy)) = self.roles.get(function) else {
            return Err(AwsError::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        };
        for permission in permissions {
            let (source, allowed) = if policy.allows(permission) {
                let key = self.keys.get(&permission.resource);
                ("resource-based", key.is_none_or(|policy| policy.allows(permission)))
            } else {
                ("identity-based", false)
            };
            if !allowed {
                let RequiredPermission { action, resource, .. } = permission;
                let message = format!(
                    "User: arn:aws:sts::{}:assumed-role/{name}-role/{name} is not authorized to perform: {action} on \
                     resource: {resource} because no {source} policy allows the {action} action",
                    names::ACCOUNT,
                );
                let rest = action.starts_with("lambda:") || action.starts_with("scheduler:");
                let status = if rest { 403 } else { 400 };
                return Err(AwsError::with_status(status, "AccessDeniedException", message));
            }
        }
        Ok(())
    }
}
