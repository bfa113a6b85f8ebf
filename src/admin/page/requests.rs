//! The list of requests.

use std::fmt::{self, Write as _};

use super::{Text, sentence};
use crate::telemetry::Entry;

pub(super) fn row(entry: &Entry, html: &mut String) -> fmt::Result {
    let class = match (entry.failed, entry.status.map_or(0, |status| status / 100)) {
        (_, 4) => 4,
        (Some(_), _) => 5,
        (None, class) => class,
    };
    let time = entry.time.get(11..19).unwrap_or_default();
    write!(
        html,
        r#"<li><details class="s{class}"><summary><time datetime="{}">{time}</time><span class="method">{}</span><span class="path">{}</span>"#,
        Text(&entry.time),
        Text(&entry.method),
        Text(&entry.path),
    )?;
    match entry.failed {
        Some(failed) => {
            write!(html, r#"<span class="who"><span class="vh">failed: </span>{}</span>"#, failed.name())?;
        }
        None => html.push_str("<span></span>"),
    }
    let status = entry.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    let took = entry.duration_ms;
    write!(html, r#"<span class="status">{status}</span><span class="took">{took:.1} ms</span>"#)?;
    html.push_str(r#"<span class="line">"#);
    bar(entry, html)?;
    html.push_str(r#"</span></summary><div class="more">"#);
    if let Some(detail) = &entry.detail {
        write!(html, r#"<p class="why">{}</p>"#, Text(&sentence(detail)))?;
    }
    let phases = entry.phases;
    write!(
        html,
        r#"<p class="full">{} {}</p><dl><dt>Token</dt><dd>{:.1} ms</dd><dt>Connect</dt><dd>{:.1} ms</dd><dt>Wait</dt><dd>{:.1} ms</dd><dt>Body</dt><dd>{:.1} ms</dd><dt>Request body</dt><dd>{} B</dd><dt>Response body</dt><dd>{} B</dd><dt>Request id</dt><dd><code>{}</code></dd></dl></div></details></li>"#,
        Text(&entry.method),
        Text(&entry.path),
        phases.token,
        phases.connect,
        phases.head,
        phases.body,
        entry.bytes_in,
        entry.bytes_out,
        Text(&entry.id),
    )
}

/// Where the time went, in thousandths of the whole.
fn bar(entry: &Entry, html: &mut String) -> fmt::Result {
    let phases = entry.phases;
    let total = entry.duration_ms.max(0.001);
    html.push_str(r#"<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">"#);
    let mut x = 0.0;
    for (class, phase) in
        [("token", phases.token), ("connect", phases.connect), ("head", phases.head), ("body", phases.body)]
    {
        let width = phase / total * 1000.0;
        if width > 0.0 {
            write!(html, r#"<rect class="f-{class}" x="{x:.1}" width="{width:.1}" height="10"></rect>"#)?;
        }
        x += width;
    }
    html.push_str("</svg>");
    Ok(())
}
