//! https against the official server, with a certificate of our own.

use std::path::PathBuf;

use signalr_client::{HubConnection, Protocol, StartErrorKind};
use signalr_tests::reference::{self, Server};
use signalr_tests::with_causes;

/// A server with a certificate for 127.0.0.1, and the certificate.
struct Secure {
    server: Server,
    certificate: rcgen::Certificate,
    _files: Files,
}

/// A folder that goes away.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn secure() -> Option<Secure> {
    reference::url()?;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
        .expect("a certificate can be made");
    let folder = std::env::temp_dir().join(format!("signalr-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let files = Files(folder);
    std::fs::write(&certificate, made.cert.pem()).expect("a file can be written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file can be written");
    let server = reference::start(&[
        "--urls".into(),
        "https://127.0.0.1:0".into(),
        format!(
            "--Kestrel:Certificates:Default:Path={}",
            certificate.display()
        ),
        format!("--Kestrel:Certificates:Default:KeyPath={}", key.display()),
    ]);
    Some(Secure {
        server: server?,
        certificate: made.cert,
        _files: files,
    })
}

#[tokio::test]
async fn certificates_decide_who_is_trusted() {
    let Some(secure) = secure() else { return };
    let url = format!("{}/hub", secure.server.url);
    let builder = || HubConnection::builder(&url).protocol(Protocol::MessagePack);

    let stranger = builder().build().unwrap();
    let refusal = stranger
        .start()
        .await
        .expect_err("an unknown certificate was trusted");
    assert!(
        matches!(refusal.kind(), StartErrorKind::Failed(_)),
        "{refusal:?}"
    );
    let refusal = with_causes(&refusal);
    assert!(
        refusal.contains("TLS with 127.0.0.1:") && refusal.contains("certificate"),
        "{refusal}"
    );

    let pem = secure.certificate.pem();
    let der = secure.certificate.der().to_vec();
    let trusting = [
        builder().add_root_certificate(pem.clone()),
        builder()
            .add_root_certificate(der)
            .only_added_root_certificates(true),
        builder().danger_accept_invalid_certificates(true),
    ];
    for builder in trusting {
        let connection = builder.build().unwrap();
        connection
            .start()
            .await
            .expect("the certificate is trusted");
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        let text = "t".repeat(20_000);
        assert_eq!(
            connection.invoke::<String>("EchoText", (&text,)).await,
            Ok(text)
        );
        connection.stop().await;
    }

    let wrong_name = url.replace("127.0.0.1", "localhost");
    let connection = HubConnection::builder(&wrong_name)
        .add_root_certificate(pem)
        .build()
        .unwrap();
    let refusal = connection
        .start()
        .await
        .expect_err("a certificate for another name was trusted");
    let refusal = with_causes(&refusal);
    assert!(refusal.contains("certificate"), "{refusal}");
}

#[test]
fn certificates_that_cannot_be_read_are_errors_of_build() {
    for wrong in [
        "-----BEGIN CERTIFICATE-----\nAAAA",
        "-----BEGIN NOTHING-----\n-----END NOTHING-----\n",
        "not a certificate",
    ] {
        let build = HubConnection::builder("https://localhost/hub")
            .add_root_certificate(wrong)
            .build();
        assert!(build.is_err(), "{wrong}");
    }
}
