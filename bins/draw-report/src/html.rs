//! HTML: what servers, files and users say is text on the page, and never a tag.

use report::foreign;

/// Text, for between tags and for attributes in quotes.
pub(crate) fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in foreign::one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A path as a link: whatever is in a name, it leads below the directory that the page is in, or to that very path.
pub(crate) fn link(path: &str) -> String {
    let mut link = if path.starts_with('/') { "file://".to_owned() } else { "./".to_owned() };
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => link.push(byte as char),
            byte => link.push_str(&format!("%{byte:02X}")),
        }
    }
    link
}

/// A table. The first cell of each row names it; `class` says how it is to look.
pub(crate) fn table(class: &str, head: &[String], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!("<th scope=\"col\">{cell}</th>")).collect();
    let row = |cells: &Vec<String>| {
        let cells = cells.iter().enumerate().map(|(index, cell)| match index {
            0 => format!("<th scope=\"row\">{cell}</th>"),
            _ => format!("<td>{cell}</td>"),
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )
}

/// A figure with its exact value, for whoever reads the page by a program: `data-outage_us="200125"`.
pub(crate) fn figure(name: &str, exact: Option<u64>, shown: &str) -> String {
    let exact = exact.map(|exact| exact.to_string()).unwrap_or_default();
    format!("<span class=\"figure\" data-{name}=\"{exact}\">{}</span>", text(shown))
}

#[cfg(test)]
mod tests {
    use super::{link, text};

    #[test]
    fn nothing_that_a_file_says_becomes_a_tag_or_leaves_an_attribute() {
        assert_eq!(text("<script>alert('x') & \"y\""), "&lt;script&gt;alert(&#39;x&#39;) &amp; &quot;y&quot;");
        assert_eq!(text("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    }

    #[test]
    fn a_link_leads_to_a_file_and_never_to_a_script() {
        assert_eq!(link("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(link("/srv/runs/a b/x.csv"), "file:///srv/runs/a%20b/x.csv");
        assert_eq!(link("../runs/é.csv"), "./../runs/%C3%A9.csv");
    }
}
