//! What `cargo local` prints when the stack runs.

use crate::stack_info::StackInfo;
use std::path::Path;

/// URLs, the connect link and the next command. `stack_file` is the path of `stack.json`, if it is written.
#[must_use]
pub fn banner(info: &StackInfo, connect_link: Option<&str>, stack_file: Option<&Path>) -> String {
    let mut text = String::from("\n");
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<22} {value}\n"));
    for (name, url) in [
        ("Gateway", &info.gateway),
        ("RingCentral simulator", &info.ringcentral),
        ("AWS endpoints", &info.aws),
    ] {
        if let Some(url) = url {
            row(name, url);
        }
    }
    if let Some(file) = stack_file {
        row("URLs and keys", &file.display().to_string());
    }
    if let Some(link) = connect_link {
        row("Connect RingCentral", link);
    }
    text.push('\n');
    if info.gateway.is_some() {
        text.push_str("  Next: open the link, or run in another terminal: cargo local demo\n");
    } else if info.aws.is_some() && info.ringcentral.is_some() {
        text.push_str("  Next: cargo lambda watch, as infra/local/README.md describes it\n");
    }
    text.push_str("  Press Ctrl-C to stop\n");
    text
}

#[cfg(test)]
mod tests {
    use super::banner;
    use crate::stack_info::StackInfo;
    use std::path::Path;

    #[test]
    fn the_banner_shows_urls_the_link_and_the_next_command() {
        let url = |port: u16| Some(format!("http://127.0.0.1:{port}"));
        let info =
            StackInfo { gateway: url(9400), ringcentral: url(9410), aws: url(9420), ..StackInfo::default() };
        let link = "http://127.0.0.1:9400/v1/rc/connect?token=t";
        let expected = "
  Gateway                http://127.0.0.1:9400
  RingCentral simulator  http://127.0.0.1:9410
  AWS endpoints          http://127.0.0.1:9420
  URLs and keys          .local/stack.json
  Connect RingCentral    http://127.0.0.1:9400/v1/rc/connect?token=t

  Next: open the link, or run in another terminal: cargo local demo
  Press Ctrl-C to stop
";
        assert_eq!(banner(&info, Some(link), Some(Path::new(".local/stack.json"))), expected);
    }
}
