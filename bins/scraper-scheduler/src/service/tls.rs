//! TLS for the notices that this program sends itself.

use rustls::{ClientConfig, RootCertStore};

/// A client that trusts Mozilla's roots and the host's own.
pub(crate) fn client_config() -> ClientConfig {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    // A host without certificates of its own, or with unreadable ones, has Mozilla's still.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}
