//! RingCentral's error codes for messages, explained: `deliveryErrorCode` of a message that was not delivered, and the
//! code of a message that RingCentral rejected.

/// Who can act on a delivery failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responsible {
    /// The author of the message, who also chooses the recipient.
    Sender,
    Recipient,
    Administrator,
    Carrier,
}

impl Responsible {
    /// As the documentation writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "the author of the message",
            Self::Recipient => "the recipient",
            Self::Administrator => "the administrator of the RingCentral account",
            Self::Carrier => "RingCentral or the carrier",
        }
    }
}

/// The `errorCode` of a message that could not be sent until its `expiresAt`, or for three days.
pub const UNREACHABLE: &str = "ringcentral_unreachable";

/// The code of a message to a recipient who has opted out: of the rejected request, and the `errorCode` of a message that was
/// accepted before.
pub const RECIPIENT_OPTED_OUT: &str = "recipient_opted_out";

/// The `errorCode` of a message whose files could not be downloaded or are no longer stored.
pub const MEDIA_UNREACHABLE: &str = "media_unreachable";
/// The code of a file of a type that RingCentral does not accept, and of files that are too large: of the rejected request, and
/// the `errorCode` of a message whose files were downloaded later.
pub const MEDIA_TYPE_UNSUPPORTED: &str = "media_type_unsupported";
pub const MEDIA_TOO_LARGE: &str = "media_too_large";

/// True for RingCentral's delivery error codes that mean that the recipient has opted out, such as `SMS-RC-413`.
pub fn is_opt_out(code: &str) -> bool {
    code.starts_with("SMS-") && code.ends_with("-413")
}

/// A delivery error code and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryFailure {
    pub code: &'static str,
    /// A sentence for the tenant.
    pub meaning: &'static str,
    /// True if the same message may be delivered later.
    pub is_retryable: bool,
    pub responsible: Responsible,
}

const fn failure(
    code: &'static str,
    meaning: &'static str,
    is_retryable: bool,
    responsible: Responsible,
) -> DeliveryFailure {
    DeliveryFailure { code, meaning, is_retryable, responsible }
}

/// Every delivery error code that RingCentral documents (Developer Guide, "SMS errors").
pub const FAILURES: &[DeliveryFailure] = {
    use Responsible::{Administrator, Carrier, Recipient, Sender};
    &[
        failure("SMS-RC-403", "The account's daily or monthly volume is used up", true, Administrator),
        failure("SMS-RC-410", "RingCentral does not send to this destination", false, Sender),
        failure("SMS-RC-413", "The recipient has opted out", false, Recipient),
        failure("SMS-RC-430", "RingCentral's filter classified the message as spam", false, Sender),
        failure("SMS-RC-500", "RingCentral had an internal error", true, Carrier),
        failure("SMS-RC-501", "RingCentral's request to its provider was invalid", false, Carrier),
        failure("SMS-RC-503", "The sending number is not set up correctly", false, Administrator),
        failure("SMS-RC-504", "RingCentral's provider is not set up correctly", false, Carrier),
        failure("SMS-UP-410", "The destination number is invalid", false, Sender),
        failure("SMS-UP-413", "The recipient has opted out", false, Recipient),
        failure("SMS-UP-414", "The sending number is not registered for SMS", false, Administrator),
        failure("SMS-UP-430", "The provider classified the message as spam", false, Sender),
        failure("SMS-UP-431", "The sending number is flagged and blocked", false, Administrator),
        failure("SMS-UP-432", "The message is too long for the provider", false, Sender),
        failure("SMS-UP-433", "The provider can't deliver the message in its present form", false, Sender),
        failure("SMS-UP-500", "RingCentral's provider had an internal error", true, Carrier),
        failure("SMS-CAR-104", "The carrier has not reported yet", true, Carrier),
        failure("SMS-CAR-199", "The carrier does not know the outcome", true, Carrier),
        failure("SMS-CAR-400", "The carrier does not accept this kind of message", false, Sender),
        failure("SMS-CAR-410", "The message expired at the carrier", true, Carrier),
        failure("SMS-CAR-411", "The destination number is invalid", false, Sender),
        failure("SMS-CAR-412", "The subscriber can't be reached", true, Recipient),
        failure("SMS-CAR-413", "The recipient has opted out", false, Recipient),
        failure("SMS-CAR-414", "The carrier does not accept the sending number", false, Administrator),
        failure("SMS-CAR-430", "The carrier classified the message as spam", false, Sender),
        failure("SMS-CAR-431", "The carrier rejected the message without a reason", false, Sender),
        failure("SMS-CAR-432", "The message is too long for the carrier", false, Sender),
        failure("SMS-CAR-433", "The carrier found the message malformed", false, Sender),
        failure("SMS-CAR-434", "The media files are too large for the carrier", false, Sender),
        failure("SMS-CAR-435", "The carrier rejects shortened links", false, Sender),
        failure("SMS-CAR-450", "The brand's T-Mobile quota is used up", true, Administrator),
        failure("SMS-CAR-451", "The campaign's AT&T quota is used up", true, Administrator),
        failure("SMS-CAR-452", "The carrier's quota is used up", true, Administrator),
        failure("SMS-CAR-460", "The short code is not verified", false, Administrator),
        failure("SMS-CAR-461", "The toll-free number is not verified", false, Administrator),
        failure("SMS-CAR-500", "The carrier had an internal error", true, Carrier),
    ]
};

/// The meaning of a failure without a known code.
pub const UNDELIVERED: &str = "RingCentral could not deliver the message";

/// The meaning of a delivery error code, as a sentence for the tenant.
pub fn explain(code: &str) -> &'static str {
    let known = FAILURES.iter().find(|failure| failure.code == code);
    known.map_or(UNDELIVERED, |failure| failure.meaning)
}

/// Error codes with which RingCentral rejects a message, and their meaning.
pub const REJECTIONS: &[(&str, &str)] = &[
    ("MSG-240", "International SMS is not available for the sending number"),
    ("MSG-241", "The sending number is for fax only"),
    ("MSG-242", "SMS is not available for the sending number"),
    ("MSG-243", "The recipient is blocked or has opted out"),
    ("MSG-246", "The recipient's number has the form of an extension"),
    ("MSG-247", "Short numbers are not allowed"),
    ("MSG-314", "This kind of extension can't send SMS"),
    ("MSG-338", "The message is too long"),
    ("MSG-367", "The sending number does not support SMS"),
    ("MSG-383", "The account's sending limit is reached"),
    ("MSG-384", "The destination is prohibited"),
    ("MSG-388", "The account may not send SMS at present"),
    ("MSG-403", "International SMS can't be sent from a toll-free number"),
    ("BIL-103", "The feature is not part of the account's plan"),
    ("CMN-401", "The RingCentral app lacks a permission"),
    ("CMN-408", "The RingCentral user lacks a permission"),
];

/// True if a code says that the sending number does not belong to the extension.
pub fn is_foreign_number(code: &str) -> bool {
    matches!(code, "MSG-245" | "MSG-304")
}

/// The meaning of a rejection, as a sentence for the tenant.
pub fn explain_rejection(code: Option<&str>) -> &'static str {
    let known = REJECTIONS.iter().find(|(known, _)| Some(*known) == code);
    known.map_or("RingCentral rejected the message", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_listed_once() {
        let codes: HashSet<_> = FAILURES.iter().map(|failure| failure.code).collect();
        assert_eq!(codes.len(), FAILURES.len());
        assert_eq!(explain("SMS-CAR-413"), "The recipient has opted out");
        assert_eq!(explain("SMS-NEW-999"), "RingCentral could not deliver the message");
    }
}
