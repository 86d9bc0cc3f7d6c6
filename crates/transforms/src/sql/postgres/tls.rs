//! Whom a connection to PostgreSQL trusts, in the sense of libpq's `sslmode`.

use std::path::Path;
use std::sync::Arc;

use pipeline_core::StageError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// What a server has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the connection is encrypted, whoever answers.
    Any,
    /// A certificate of a trusted authority.
    Authority,
    /// And one for the host's name.
    Full,
}

/// The TLS of a connection. `root_cert` is trusted instead of Mozilla's and the host's own authorities.
pub(super) fn config(trust: Trust, root_cert: Option<&Path>) -> Result<ClientConfig, StageError> {
    let provider = Arc::new(ring::default_provider());
    let broken = |error: Error| StageError::fatal("TLS cannot be set up").caused_by(error);
    let chain = match trust {
        Trust::Any => None,
        Trust::Authority | Trust::Full => {
            let roots = Arc::new(roots(root_cert)?);
            let built = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Some(built.map_err(|error| StageError::fatal("TLS cannot be set up").caused_by(error))?)
        }
    };
    let verifier = Verifier { provider: provider.clone(), chain, any_name: trust == Trust::Authority };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(broken)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_no_client_auth())
}

fn roots(root_cert: Option<&Path>) -> Result<RootCertStore, StageError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = root_cert else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // Certificates of the host that cannot be read are none to trust.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let unreadable = |error: String| {
        StageError::fatal(format!("the certificates of {} cannot be used", path.display()))
            .hint("`sslrootcert` names a file with certificates in PEM form")
            .caused_by(error)
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unreadable("it holds none".to_owned())) } else { Ok(roots) }
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// The authorities to trust; none where nothing has to be shown.
    chain: Option<Arc<WebPkiServerVerifier>>,
    any_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name comes last: by then the chain has been verified.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
