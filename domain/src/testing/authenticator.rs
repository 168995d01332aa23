//! An authenticator and its browser in software: makes passkeys and presents them (WebAuthn, level 3, sections 5
//! and 6), rightly, or wrongly in a way that a test asks for.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::crypto::{random, sha256};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

/// A device with passkeys. A clone is a copy of the device, secret keys and all.
#[derive(Clone)]
pub struct Authenticator {
    /// The origin of the page that asks, as the browser writes it.
    pub origin: String,
    /// Whether that page is framed by another site's.
    pub cross_origin: bool,
    /// For which host it answers; none: for the one that asks.
    pub rp_id: Option<String>,
    /// Whether it verifies its user.
    pub verifies: bool,
    /// Whether its counter counts; many count nothing and say 0.
    pub counts: bool,
    /// Its passkeys, oldest first. The newest is presented.
    pub keys: Vec<Key>,
}

/// A passkey and its secret key.
#[derive(Clone)]
pub struct Key {
    /// The credential's id.
    pub id: Vec<u8>,
    /// Whose it is.
    pub user_handle: Vec<u8>,
    /// What the counter says now.
    pub counter: u32,
    pair: Arc<EcdsaKeyPair>,
}

impl Authenticator {
    /// One without passkeys, in a browser at that origin.
    #[must_use]
    pub fn at(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            cross_origin: false,
            rp_id: None,
            verifies: true,
            counts: true,
            keys: Vec::new(),
        }
    }

    /// Makes a passkey; a `RegistrationResponseJSON`.
    ///
    /// # Panics
    /// When the options are none.
    pub fn create(&mut self, options: &Value) -> Value {
        let id = random::<32>().expect("randomness").to_vec();
        self.create_with_id(id, options)
    }

    /// The same, with an id that may be another's.
    ///
    /// # Panics
    /// As [`Authenticator::create`].
    pub fn create_with_id(&mut self, id: Vec<u8>, options: &Value) -> Value {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key pair");
        self.keys.push(Key {
            id,
            user_handle: decode(&options["user"]["id"]),
            counter: u32::from(self.counts),
            pair: Arc::new(pair),
        });
        let key = self.keys.last().expect("the new key");
        let rp_id = options["rp"]["id"].as_str().expect("an rp id");
        let mut data = self.authenticator_data(rp_id, key.counter, HAS_CREDENTIAL);
        data.extend([0; 16]);
        data.extend(u16::try_from(key.id.len()).expect("a short id").to_be_bytes());
        data.extend(&key.id);
        data.extend(cose_key(&key.pair));
        let mut attestation = vec![0xa3];
        attestation.extend(cbor_text("fmt"));
        attestation.extend(cbor_text("none"));
        attestation.extend(cbor_text("attStmt"));
        attestation.push(0xa0);
        attestation.extend(cbor_text("authData"));
        attestation.extend(cbor_bytes(&data));
        json!({
            "id": encode(&key.id),
            "rawId": encode(&key.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": encode(&self.client_data("webauthn.create", options)),
                "attestationObject": encode(&attestation),
                "transports": ["internal"],
            },
            "clientExtensionResults": { "credProps": { "rk": true } },
        })
    }

    /// Presents the newest passkey; an `AuthenticationResponseJSON`.
    ///
    /// # Panics
    /// Without a passkey, or when the options are none.
    pub fn get(&mut self, options: &Value) -> Value {
        let counts = self.counts;
        let key = self.keys.last_mut().expect("a passkey");
        key.counter += u32::from(counts);
        let key = key.clone();
        let rp_id = options["rpId"].as_str().expect("an rp id");
        let data = self.authenticator_data(rp_id, key.counter, 0);
        let client_data = self.client_data("webauthn.get", options);
        let message = [data.as_slice(), &sha256(&client_data)].concat();
        let signature = key
            .pair
            .sign(&SystemRandom::new(), &message)
            .expect("a signature");
        json!({
            "id": encode(&key.id),
            "rawId": encode(&key.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": encode(&client_data),
                "authenticatorData": encode(&data),
                "signature": encode(signature.as_ref()),
                "userHandle": encode(&key.user_handle),
            },
            "clientExtensionResults": {},
        })
    }

    fn authenticator_data(&self, asked: &str, counter: u32, flags: u8) -> Vec<u8> {
        let rp_id = self.rp_id.as_deref().unwrap_or(asked);
        let verified = if self.verifies { USER_VERIFIED } else { 0 };
        let mut data = sha256(rp_id.as_bytes()).to_vec();
        data.push(flags | verified | USER_PRESENT);
        data.extend(counter.to_be_bytes());
        data
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        });
        data.to_string().into_bytes()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("base64url");
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// An EC2 key of P-256 for ES256 (RFC 9053): a map of its type, algorithm, curve and coordinates.
fn cose_key(pair: &EcdsaKeyPair) -> Vec<u8> {
    // Uncompressed: 4, x, y.
    let point = pair.public_key().as_ref();
    let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21];
    key.extend(cbor_bytes(&point[1..33]));
    key.push(0x22);
    key.extend(cbor_bytes(&point[33..65]));
    key
}

/// A text of CBOR (RFC 8949), shorter than 24 bytes.
fn cbor_text(text: &str) -> Vec<u8> {
    let mut out = vec![0x60 | u8::try_from(text.len()).expect("a short text")];
    out.extend(text.as_bytes());
    out
}

/// Bytes in CBOR, fewer than 65536.
fn cbor_bytes(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("few bytes").to_be_bytes();
    let mut out = vec![0x59];
    out.extend(length);
    out.extend(bytes);
    out
}
