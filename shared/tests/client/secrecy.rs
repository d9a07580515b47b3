//! No token, secret, code or password in any error or log.
