//! Tenants, the customers of the operator.

use jiff::Timestamp;

use super::ids::TenantId;
use super::secret::Secret;
use super::string_enum::string_enum;
use crate::limits;

string_enum! {
    pub enum TenantStatus {
        Active = "active",
        /// Every request of the tenant is rejected; its data is kept.
        Suspended = "suspended",
        /// Deletion was requested. It can't be undone.
        Deleting = "deleting",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// Requests of one API key in a rolling minute.
    pub requests_per_minute: u32,
    /// Connect and invite tokens together in a rolling hour.
    pub connect_tokens_per_hour: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: limits::REQUESTS_PER_MINUTE,
            connect_tokens_per_hour: limits::CONNECT_TOKENS_PER_HOUR,
        }
    }
}

/// A customer of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The name that people see on the connect page.
    pub name: String,
    /// Whether it may use the product.
    pub status: TenantStatus,
    /// What it may do in a minute and in an hour.
    pub limits: TenantLimits,
    /// Where the page after a connection links back to, unless the invite says otherwise.
    pub return_url: Option<String>,
    /// Signs the cursors of its lists.
    pub cursor_key: Secret,
    /// How many apps were ever registered for it: who registers one says how many may have been.
    pub apps_registered: usize,
    /// When it was created.
    pub created_at: Timestamp,
    /// How far its deletion has come, if it was ordered.
    pub deletion: Option<Deletion>,
}

/// The deletion of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    pub requested_at: Timestamp,
    /// Since when nothing can decrypt the sealed data of the tenant.
    pub keys_erased_at: Option<Timestamp>,
}

impl Tenant {
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }
}

/// A name of a tenant or an app: 1 to 100 characters, not only white space, none that controls anything or can't be
/// seen (names are shown to people who decide by them). Surrounding white space is dropped.
pub fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let ok =
        !text.is_empty() && text.chars().count() <= limits::NAME_CHARS && !text.chars().any(is_invisible);
    ok.then(|| text.to_owned())
}

/// Control characters, and those that have no width or turn the direction of the text around them.
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_seen() {
        assert_eq!(name("  Acme Ltd. ").as_deref(), Some("Acme Ltd."));
        assert_eq!(name("Zoë & 東京").as_deref(), Some("Zoë & 東京"));
        for bad in ["", "  ", "\u{200b}", "a\u{202e}b", "a\nb", &"x".repeat(101)] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }
}
