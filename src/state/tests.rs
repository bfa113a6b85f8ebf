use super::*;

#[test]
fn the_proxy_of_a_run_around_us_is_no_outbound_proxy_of_ours() {
    let read = |name: &str| match name {
        "MASKINPORTEN_PROXY_URL" | "https_proxy" => Some("http://127.0.0.1:4711".to_owned()),
        "HTTPS_PROXY" => Some("http://proxy.example.no:3128".to_owned()),
        _ => None,
    };
    assert_eq!(variable("https_proxy", read), None);
    assert_eq!(variable("HTTPS_PROXY", read).as_deref(), Some("http://proxy.example.no:3128"));
    assert_eq!(variable("no_proxy", read), None);
    // Without a run around us everything counts.
    let alone = |name: &str| read(name).filter(|_| name != "MASKINPORTEN_PROXY_URL");
    assert!(variable("https_proxy", alone).is_some());
}
