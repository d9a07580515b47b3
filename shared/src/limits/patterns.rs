//! Regular expressions of the OpenAPI document, in the syntax that JavaScript, Java, Python, .NET and Go share.

/// The regular expression of a text without control characters, except tabs and line breaks.
pub const TEXT_PATTERN: &str = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$";
/// The regular expression of a text in one line, without control characters.
pub const LINE_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";
/// The regular expression of a name: one line that is not blank.
pub const NAME_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// The regular expression of a URL that Ringbridge sends requests to, or links to: https, a host name in ASCII, an optional
/// port, and no control character, space or backslash. Names in Unicode are accepted, too.
pub const URL_PATTERN: &str = concat!(
    r"^[Hh][Tt][Tt][Pp][Ss]://",
    r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?",
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    r"([/?#][^\x00-\x20\\\x7f-\xa0]*)?$"
);
/// The regular expression of an IP address or a CIDR range. The ranges of IPv6 that contain all of IPv4 match it, and are
/// rejected.
pub const ADDRESS_PATTERN: &str = concat!(
    r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}",
    r"(/(3[0-2]|[12]?[0-9]))?",
    r"|(([0-9A-Fa-f]{1,4}:){7}([0-9A-Fa-f]{1,4}|:)",
    r"|([0-9A-Fa-f]{1,4}:){6}(:[0-9A-Fa-f]{1,4}|:)",
    r"|([0-9A-Fa-f]{1,4}:){5}((:[0-9A-Fa-f]{1,4}){1,2}|:)",
    r"|([0-9A-Fa-f]{1,4}:){4}((:[0-9A-Fa-f]{1,4}){1,3}|:)",
    r"|([0-9A-Fa-f]{1,4}:){3}((:[0-9A-Fa-f]{1,4}){1,4}|:)",
    r"|([0-9A-Fa-f]{1,4}:){2}((:[0-9A-Fa-f]{1,4}){1,5}|:)",
    r"|[0-9A-Fa-f]{1,4}:((:[0-9A-Fa-f]{1,4}){1,6}|:)",
    r"|:((:[0-9A-Fa-f]{1,4}){1,7}|:))",
    r"(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$"
);
