//! Why RingCentral or a carrier did not deliver a message: its `deliveryErrorCode`, explained.

/// Who can do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mender {
    /// Whoever writes the message or chooses its recipient.
    Sender,
    /// The recipient.
    Recipient,
    /// The administrator of the RingCentral account.
    Administrator,
    /// RingCentral or the carrier.
    Carrier,
}

impl Mender {
    /// Who that is, in the words of the documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "whoever writes the text or chooses its recipient",
            Self::Recipient => "the recipient",
            Self::Administrator => "the administrator of the RingCentral account",
            Self::Carrier => "RingCentral or the carrier",
        }
    }
}

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// RingCentral's code.
    pub code: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// True if the same message may get through later.
    pub is_retryable: bool,
    /// Who can mend it.
    pub mender: Mender,
}

const fn failure(code: &'static str, meaning: &'static str, is_retryable: bool, mender: Mender) -> Failure {
    Failure { code, meaning, is_retryable, mender }
}

/// Every code that RingCentral documents (Developer Guide, "SMS errors").
pub const FAILURES: &[Failure] = {
    use Mender::{Administrator, Carrier, Recipient, Sender};
    &[
        failure("SMS-RC-403", "The account's daily or monthly volume is used up", true, Administrator),
        failure("SMS-RC-410", "RingCentral does not send to this destination", false, Sender),
        failure("SMS-RC-413", "The recipient has opted out", false, Recipient),
        failure("SMS-RC-430", "RingCentral's filter took the text for spam", false, Sender),
        failure("SMS-RC-500", "RingCentral had an internal error", true, Carrier),
        failure("SMS-RC-501", "RingCentral's request to its provider was wrong", false, Carrier),
        failure("SMS-RC-503", "The sending number is not set up correctly", false, Administrator),
        failure("SMS-RC-504", "RingCentral's provider is not set up correctly", false, Carrier),
        failure("SMS-UP-410", "The destination number is wrong", false, Sender),
        failure("SMS-UP-413", "The recipient has opted out", false, Recipient),
        failure("SMS-UP-414", "The sending number is not registered for SMS", false, Administrator),
        failure("SMS-UP-430", "The provider took the text for spam", false, Sender),
        failure("SMS-UP-431", "The sending number is flagged and blocked", false, Administrator),
        failure("SMS-UP-432", "The text is too long for the provider", false, Sender),
        failure("SMS-UP-433", "The provider can't deliver the text as it is written", false, Sender),
        failure("SMS-UP-500", "RingCentral's provider had a fault", true, Carrier),
        failure("SMS-CAR-104", "The carrier has not reported yet", true, Carrier),
        failure("SMS-CAR-199", "The carrier does not know what became of the message", true, Carrier),
        failure("SMS-CAR-400", "The carrier does not take this kind of message", false, Sender),
        failure("SMS-CAR-410", "The message expired at the carrier", true, Carrier),
        failure("SMS-CAR-411", "The destination number is wrong", false, Sender),
        failure("SMS-CAR-412", "The subscriber can't be reached", true, Recipient),
        failure("SMS-CAR-413", "The recipient has opted out", false, Recipient),
        failure("SMS-CAR-414", "The carrier does not accept the sending number", false, Administrator),
        failure("SMS-CAR-430", "The carrier took the text for spam", false, Sender),
        failure("SMS-CAR-431", "The carrier refused the message without a reason", false, Sender),
        failure("SMS-CAR-432", "The text is too long for the carrier", false, Sender),
        failure("SMS-CAR-433", "The carrier found the message malformed", false, Sender),
        failure("SMS-CAR-434", "The media are too big for the carrier", false, Sender),
        failure("SMS-CAR-435", "The carrier refuses shortened links", false, Sender),
        failure("SMS-CAR-450", "The brand's T-Mobile quota is used up", true, Administrator),
        failure("SMS-CAR-451", "The campaign's AT&T quota is used up", true, Administrator),
        failure("SMS-CAR-452", "The carrier's quota is used up", true, Administrator),
        failure("SMS-CAR-460", "The short code is not verified", false, Administrator),
        failure("SMS-CAR-461", "The toll-free number is not verified", false, Administrator),
        failure("SMS-CAR-500", "The carrier had a fault", true, Carrier),
    ]
};

/// A sentence for the tenant.
pub fn explain(code: &str) -> &'static str {
    let known = FAILURES.iter().find(|failure| failure.code == code);
    known.map_or("RingCentral could not deliver the message", |failure| failure.meaning)
}

/// What RingCentral means when it refuses to take a message, by its code.
pub const REFUSALS: &[(&str, &str)] = &[
    ("MSG-240", "International SMS is not available for the sending number"),
    ("MSG-241", "The sending number is for fax only"),
    ("MSG-242", "SMS is not available for the sending number"),
    ("MSG-243", "The recipient is blocked or has opted out"),
    ("MSG-246", "The recipient's number has the form of an extension"),
    ("MSG-247", "Short numbers are not allowed"),
    ("MSG-314", "This kind of extension can't send SMS"),
    ("MSG-338", "The text is too long"),
    ("MSG-367", "The sending number does not support SMS"),
    ("MSG-383", "The account's sending limit is reached"),
    ("MSG-384", "The destination is prohibited"),
    ("MSG-388", "The account may not send SMS at present"),
    ("MSG-403", "International SMS can't be sent from a toll-free number"),
    ("BIL-103", "The feature is not part of the account's plan"),
    ("CMN-401", "The RingCentral app lacks a permission"),
    ("CMN-408", "The RingCentral user lacks a permission"),
];

/// True if a code says that the sending number is not the extension's.
pub fn is_foreign_number(code: &str) -> bool {
    matches!(code, "MSG-245" | "MSG-304")
}

/// Why RingCentral did not take a message, in a sentence for the tenant.
pub fn explain_refusal(code: Option<&str>) -> &'static str {
    let known = REFUSALS.iter().find(|(known, _)| Some(*known) == code);
    known.map_or("RingCentral refused the message", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_there_once() {
        let codes: HashSet<_> = FAILURES.iter().map(|failure| failure.code).collect();
        assert_eq!(codes.len(), FAILURES.len());
        assert_eq!(explain("SMS-CAR-413"), "The recipient has opted out");
        assert_eq!(explain("SMS-NEW-999"), "RingCentral could not deliver the message");
    }
}
