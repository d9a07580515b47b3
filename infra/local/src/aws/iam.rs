//! Enforces the policies of the functions' roles, their permissions boundaries, and the key policies, as IAM does.

use super::error::AwsError;
use crate::iam_policy::{IamPolicy, RequiredPermission};
use crate::names;
use crate::template::Template;
use anyhow::Result;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct FunctionRole {
    /// `FunctionName`.
    function: String,
    arn: String,
    policy: IamPolicy,
    /// The permissions boundary: what it does not allow, the role cannot do.
    boundary: Option<IamPolicy>,
}

#[derive(Clone, Debug, Default)]
pub struct FunctionPolicies {
    /// By folder name.
    roles: BTreeMap<String, FunctionRole>,
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
            let role = FunctionRole {
                function: function.name.clone(),
                // SAM creates the role.
                arn: names::role_arn(&names::generated(&format!("{}Role", function.logical_id))),
                policy,
                boundary: function.boundary.as_ref().map(IamPolicy::parse).transpose()?,
            };
            roles.insert(function.binary.clone(), role);
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
        let Some(FunctionRole { function: name, arn, policy, boundary }) = self.roles.get(function) else {
            return Err(AwsError::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        };
        for permission in permissions {
            let mut permission = permission.clone();
            permission.context.insert("aws:PrincipalArn".to_owned(), vec![arn.clone()]);
            let (source, allowed) = if !policy.allows(&permission) {
                ("identity-based", false)
            } else if boundary.as_ref().is_some_and(|boundary| !boundary.allows(&permission)) {
                ("permissions boundary", false)
            } else {
                let key = self.keys.get(&permission.resource);
                ("resource-based", key.is_none_or(|policy| policy.allows(&permission)))
            };
            if !allowed {
                let RequiredPermission { action, resource, .. } = &permission;
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
