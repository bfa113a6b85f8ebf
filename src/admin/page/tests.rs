use super::*;

#[test]
fn nothing_in_a_text_becomes_markup() {
    let hostile = r#"<script>alert('1')</script>"&"#;
    let escaped = Text(hostile).to_string();
    assert_eq!(escaped, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;");
}

#[test]
fn the_template_has_one_script_one_style_and_asks_nobody_for_anything() {
    assert_eq!(TEMPLATE.matches("<script").count(), 1);
    assert_eq!(TEMPLATE.matches("<style").count(), 1);
    // An inline handler or style attribute would be refused by the policy.
    for foreign in [" style=", " onclick=", " src=", "<iframe", "<form", "innerHTML"] {
        assert!(!TEMPLATE.contains(foreign), "{foreign}");
    }
    let style = between("<style>", "</style>");
    assert!(!style.contains("url(") && !style.contains("@import"));
    let addresses = TEMPLATE.matches("http://").count() + TEMPLATE.matches("https://").count();
    let harmless = TEMPLATE.matches("http://www.w3.org/2000/svg").count()
        + TEMPLATE.matches(r#""http://localhost""#).count()
        + TEMPLATE.matches(r#""https://" + entry.path"#).count();
    assert_eq!(addresses, harmless, "only namespaces and the curl command name addresses");
}

#[test]
fn the_policy_allows_this_script_and_style_alone() {
    let page = Page::new();
    let policy = page.policy().to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    // The empty text's hash: what a wrong slice of the template would give.
    assert!(!policy.contains("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), "{policy}");
}

#[test]
fn time_left_reads_like_a_clock() {
    assert_eq!(clock(-5), "0:00");
    assert_eq!(clock(59), "0:59");
    assert_eq!(clock(119), "1:59");
    assert_eq!(clock(3600 + 62), "1:01:02");
}

#[test]
fn messages_become_sentences() {
    for (message, shown) in [
        ("the client is not known", "The client is not known."),
        ("øk tiden, så går det", "Øk tiden, så går det."),
        ("`scopes` is empty", "`scopes` is empty."),
        ("invalid_scope: no", "invalid_scope: no."),
        ("Wait!", "Wait!"),
        ("", "."),
    ] {
        assert_eq!(sentence(message), shown);
    }
}
