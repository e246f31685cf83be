//! What is found of certificates.

use super::*;

#[test]
fn a_good_certificate_is_described() {
    let authority = Authority::new("Test Authority");
    let trusted = authority.trusted("good");
    let found = visit(
        &Made::new(|_| {}, Some(&authority)).serve(),
        &[],
        Some(&trusted),
    );
    let tls = found.step("tls");
    assert_eq!(tls["status"], "ok", "{tls}");
    let facts = &tls["facts"];
    assert_eq!(facts["version"], "TLSv1.3");
    assert_eq!(facts["names"], serde_json::json!(["127.0.0.1"]));
    assert!(facts["issuer"].as_str().unwrap().contains("Test Authority"));
    assert_eq!(facts["selfSigned"], false);
    assert!(facts["notAfter"].as_str().unwrap().len() == 10, "{facts}");
    found.failed_at("negotiate", &["404"]);
    std::fs::remove_file(trusted).unwrap();
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let authority = Authority::new("Test Authority");
    let trusted = authority.trusted("wrong");
    let now = OffsetDateTime::now_utc();
    let failed = |made: Made, words: &[&str]| {
        visit(&made.serve(), &[], Some(&trusted)).failed_at("tls", words);
    };
    failed(
        Made::new(
            |params| params.not_after = now - Duration::days(3),
            Some(&authority),
        ),
        &["the certificate expired on", "renew it"],
    );
    failed(
        Made::new(
            |params| params.not_before = now + Duration::days(3),
            Some(&authority),
        ),
        &["not valid before", "clock"],
    );
    let names = |params: &mut rcgen::CertificateParams| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("hub.example".try_into().unwrap())];
    };
    failed(
        Made::new(names, Some(&authority)),
        &["the certificate is for hub.example, not for 127.0.0.1"],
    );
    failed(
        Made::new(|_| {}, Some(&Authority::new("Strange Authority"))),
        &[
            "does not trust the issuer",
            "Strange Authority",
            "intermediate",
        ],
    );
    failed(Made::new(|_| {}, None), &["signed by itself", "--insecure"]);
    failed(
        Made::new(
            |params| {
                names(params);
                params.not_after = now - Duration::days(3);
            },
            None,
        ),
        &["expired", "hub.example", "signed by itself"],
    );
    std::fs::remove_file(trusted).unwrap();
}

#[test]
fn certificates_that_end_soon_and_those_let_through_are_warnings() {
    let authority = Authority::new("Test Authority");
    let trusted = authority.trusted("soon");
    let soon = Made::new(
        |params| params.not_after = OffsetDateTime::now_utc() + Duration::hours(5 * 24 + 1),
        Some(&authority),
    );
    let found = visit(&soon.serve(), &[], Some(&trusted));
    assert_eq!(found.step("tls")["status"], "warning");
    assert!(
        found.step("tls")["detail"]
            .as_str()
            .unwrap()
            .ends_with("in 5 days")
    );
    let found = visit(
        &Made::new(|_| {}, None).serve(),
        &["--insecure"],
        Some(&trusted),
    );
    assert_eq!(found.step("tls")["status"], "warning");
    found.failed_at("negotiate", &["404"]);
    std::fs::remove_file(trusted).unwrap();
}
