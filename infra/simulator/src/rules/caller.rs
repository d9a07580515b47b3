//! The user and app behind a valid access token, and what they may access.

use http::StatusCode;

use crate::platform::accounts::{AccountRecord, ExtensionRecord};
use crate::platform::errors::RestError;
use crate::platform::sessions::LoginSession;
use crate::platform::state::PlatformState;

#[derive(Debug, Clone)]
pub struct ApiCaller {
    /// The session of the token.
    pub session: LoginSession,
}

impl ApiCaller {
    /// The user's own extension.
    pub fn own_extension<'s>(&self, state: &'s PlatformState) -> Result<&'s ExtensionRecord, RestError> {
        let id = self.session.extension_id;
        state.extensions.get(&id).ok_or_else(|| RestError::not_found("extensionId", id.to_string()))
    }

    /// The account in a path: `~` or the caller's own.
    pub fn account<'s>(&self, state: &'s PlatformState, id: &str) -> Result<&'s AccountRecord, RestError> {
        let own = self.session.account_id;
        if id != "~" && id != own.to_string() {
            return Err(RestError::not_found("accountId", id));
        }
        state.accounts.get(&own).ok_or_else(|| RestError::not_found("accountId", id))
    }

    /// The extension in a path: `~`, the caller's own, or, for an administrator, another one of the account.
    pub fn extension<'s>(
        &self,
        state: &'s PlatformState,
        account: &str,
        id: &str,
    ) -> Result<&'s ExtensionRecord, RestError> {
        self.account(state, account)?;
        let own = self.own_extension(state)?;
        if id == "~" || id == own.id.to_string() {
            return Ok(own);
        }
        let other = state
            .extension(id)
            .filter(|e| e.account_id == own.account_id)
            .ok_or_else(|| RestError::not_found("extensionId", id))?;
        if own.admin {
            return Ok(other);
        }
        let text = "Access to another extension is not allowed";
        Err(RestError::new(StatusCode::FORBIDDEN, "CMN-404", text).category("InsufficientPermissions"))
    }

    /// 403 CMN-401 unless the app has a scope.
    pub fn require_scope(&self, scope: &str) -> Result<(), RestError> {
        let has = |wanted: &str| self.session.scopes.iter().any(|s| s == wanted);
        if has(scope) || (scope == "ReadMessages" && has("SMS")) {
            return Ok(());
        }
        let text =
            format!("In order to call this API endpoint, application needs to have [{scope}] permission");
        Err(insufficient_permissions("CMN-401", text, scope))
    }

    /// 403 CMN-408 unless the user has a permission.
    pub fn require_permission(&self, state: &PlatformState, permission: &str) -> Result<(), RestError> {
        if self.own_extension(state)?.permissions.iter().any(|p| p == permission) {
            return Ok(());
        }
        let text = format!(
            "In order to call this API endpoint, user needs to have [{permission}] permission for requested resource."
        );
        Err(insufficient_permissions("CMN-408", text, permission))
    }
}

fn insufficient_permissions(code: &'static str, text: String, name: &str) -> RestError {
    RestError::new(StatusCode::FORBIDDEN, code, text)
        .category("InsufficientPermissions")
        .attribute("permissionName", name)
}
