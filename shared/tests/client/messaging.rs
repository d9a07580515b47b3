//! SMS, MMS, the message store, sync and consents.
