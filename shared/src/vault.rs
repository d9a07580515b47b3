//! Envelope encryption of secrets at rest.
//!
//! KMS generates and decrypts data keys. Its encryption context has product, tenant, connection and purpose, so that the role of
//! a function decides which purposes it can decrypt. The data key seals the secret with AES-256-GCM. The associated data has
//! version, purpose, tenant, connection, generation and issuer, so that a ciphertext opens only in the record, for the purpose
//! and in the generation that it was sealed for (reliability rules 9 and 10).
//!
//! No other module uses KMS. This one never logs, and its errors contain no bytes of secrets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, rand};
use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use jiff::Timestamp;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::Clock;
use crate::error::Error;
use crate::limits;
use crate::model::connection::Sealed;
use crate::model::ids::TenantId;
use crate::model::secret::Secret;
use crate::model::string_enum::string_enum;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;

string_enum! {
    /// What a secret is for. It is part of the KMS encryption context, and the key policies of template.yaml refer to it.
    pub enum Purpose {
        /// A RingCentral access token.
        Access = "access",
        /// A RingCentral refresh token. Only one function may decrypt it.
        Refresh = "refresh",
        /// The signing secret of an app's webhooks.
        Webhook = "webhook",
        /// A record that could not be read.
        Quarantine = "quarantine",
    }
}

/// The owner of a data key: the encryption context.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub tenant: &'a TenantId,
    /// The id of the connection, or of the app for a webhook secret.
    pub subject: &'a str,
    pub purpose: Purpose,
}

impl Owner<'_> {
    fn context(&self) -> HashMap<String, String> {
        [
            ("app", "ringbridge"),
            ("tenant", self.tenant.as_str()),
            ("connection", self.subject),
            ("purpose", self.purpose.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}

/// Further associated data of a ciphertext.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The generation of the token pair or webhook secret.
    pub generation: u64,
    /// The server that issued the secret.
    pub issuer: &'a str,
}

/// A plaintext data key, zeroized on drop, with its wrapped form.
#[derive(Clone)]
pub struct DataKey {
    plain: Arc<Zeroizing<[u8; KEY_BYTES]>>,
    wrapped: Sealed,
}

impl DataKey {
    /// The form that is stored with the ciphertext.
    pub fn wrapped(&self) -> &Sealed {
        &self.wrapped
    }

    pub fn seal(&self, owner: Owner<'_>, binding: Binding<'_>, secret: &Secret) -> Sealed {
        let mut nonce = [0_u8; NONCE_LEN];
        rand::fill(&mut nonce).expect("the system's random generator works");
        let mut bytes = Vec::with_capacity(1 + NONCE_LEN + secret.expose().len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(secret.expose().as_bytes());
        let aad = Aad::from(associated_data(owner, binding));
        cipher(&self.plain)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .expect("a token is far below the cipher's limit");
        bytes.splice(0..0, [VERSION].into_iter().chain(nonce));
        Sealed(bytes)
    }

    /// `None` unless the ciphertext was sealed with this key for this owner and binding.
    pub fn open(&self, owner: Owner<'_>, binding: Binding<'_>, sealed: &Sealed) -> Option<Secret> {
        let (&version, rest) = sealed.as_bytes().split_first()?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN)?;
        if version != VERSION {
            return None;
        }
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(associated_data(owner, binding));
        let plain = cipher(&self.plain).open_in_place(nonce, aad, &mut buffer).ok()?;
        std::str::from_utf8(plain).ok().map(Secret::new)
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}

/// Version, purpose, tenant, subject, generation and issuer, each prefixed with its length, so that different values never give the
/// same bytes.
fn associated_data(owner: Owner<'_>, binding: Binding<'_>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let generation = binding.generation.to_be_bytes();
    for part in [
        owner.purpose.as_str().as_bytes(),
        owner.tenant.as_str().as_bytes(),
        owner.subject.as_bytes(),
        &generation,
        binding.issuer.as_bytes(),
    ] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Generates, unwraps and caches data keys.
#[derive(Debug)]
pub struct Vault {
    kms: aws_sdk_kms::Client,
    key_id: String,
    clock: Arc<dyn Clock>,
    cache: Mutex<Cache>,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// KMS did not answer, throttled the request, or the key is disabled. A later attempt may succeed.
    #[error("KMS is not available: {0}")]
    Unavailable(String),
    /// The role lacks the permission, or the key is another: a wrong deployment.
    #[error("KMS rejected the request: {0}")]
    Rejected(String),
    /// The ciphertext or its data key is damaged or erased, or was sealed for another record, purpose or generation. It never
    /// opens.
    #[error("a ciphertext can't be decrypted here")]
    DoesNotOpen,
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(_) => Self::Unavailable {
                what: "the vault",
                retry_after: Duration::from_secs(30),
                source: Some(error.into()),
            },
            VaultError::Rejected(_) | VaultError::DoesNotOpen => Self::internal("the vault", error),
        }
    }
}

impl Vault {
    pub fn new(kms: aws_sdk_kms::Client, key_id: String, clock: Arc<dyn Clock>) -> Self {
        Self { kms, key_id, clock, cache: Mutex::default() }
    }

    /// Generates a data key. One KMS call.
    pub async fn new_key(&self, owner: Owner<'_>) -> Result<DataKey, VaultError> {
        let response = self
            .kms
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(owner.context()))
            .send()
            .await
            .map_err(|error| failure(&error, |e| e.meta().code()))?;
        let (Some(plain), Some(wrapped)) = (response.plaintext, response.ciphertext_blob) else {
            return Err(VaultError::Unavailable("KMS returned no data key".into()));
        };
        let key = DataKey { plain: Arc::new(take_key(plain)?), wrapped: Sealed(wrapped.into_inner()) };
        self.insert_cached(owner, &key);
        Ok(key)
    }

    /// Decrypts a data key. At most one KMS call; none if the key is cached.
    pub async fn unwrap_key(&self, owner: Owner<'_>, wrapped: &Sealed) -> Result<DataKey, VaultError> {
        if let Some(key) = self.cached(owner, wrapped) {
            return Ok(key);
        }
        let response = self
            .kms
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped.as_bytes()))
            .set_encryption_context(Some(owner.context()))
            .send()
            .await
            .map_err(|error| failure(&error, |e| e.meta().code()))?;
        let plain =
            response.plaintext.ok_or_else(|| VaultError::Unavailable("KMS returned no key".into()))?;
        let key = DataKey { plain: Arc::new(take_key(plain)?), wrapped: wrapped.clone() };
        self.insert_cached(owner, &key);
        Ok(key)
    }

    /// Decrypts a secret. At most one KMS call.
    pub async fn open(
        &self,
        owner: Owner<'_>,
        binding: Binding<'_>,
        wrapped: &Sealed,
        sealed: &Sealed,
    ) -> Result<Secret, VaultError> {
        let key = self.unwrap_key(owner, wrapped).await?;
        key.open(owner, binding, sealed).ok_or(VaultError::DoesNotOpen)
    }

    /// Checks that the key exists and is enabled, for the readiness check.
    pub async fn check(&self) -> Result<(), VaultError> {
        let response = self
            .kms
            .describe_key()
            .key_id(&self.key_id)
            .send()
            .await
            .map_err(|e| failure(&e, |e| e.meta().code()))?;
        match response.key_metadata {
            Some(key) if key.enabled => Ok(()),
            _ => Err(VaultError::Unavailable("the key is disabled".into())),
        }
    }

    fn insert_cached(&self, owner: Owner<'_>, key: &DataKey) {
        let now = self.clock.now();
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(
            cache_key(owner, &key.wrapped),
            key.clone(),
            now,
        );
    }

    fn cached(&self, owner: Owner<'_>, wrapped: &Sealed) -> Option<DataKey> {
        let now = self.clock.now();
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&cache_key(owner, wrapped), now)
    }
}

fn take_key(plain: Blob) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let mut bytes = plain.into_inner();
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map(Zeroizing::new);
    bytes.zeroize();
    key.map_err(|_| VaultError::Unavailable("KMS returned a key of another length".into()))
}

/// Classifies an error of KMS by its code.
fn failure<E>(error: &SdkError<E>, code: impl Fn(&E) -> Option<&str>) -> VaultError
where
    E: std::error::Error + 'static,
{
    let name = error.as_service_error().and_then(code).unwrap_or("no response").to_owned();
    match name.as_str() {
        "AccessDeniedException" | "IncorrectKeyException" => VaultError::Rejected(name),
        // Also for an encryption context that does not match the data key.
        "InvalidCiphertextException" | "ValidationException" => VaultError::DoesNotOpen,
        _ => VaultError::Unavailable(name),
    }
}

type CacheKey = [u8; 32];

/// Depends on owner and wrapped key, so that the cache requires the same encryption context as KMS.
fn cache_key(owner: Owner<'_>, wrapped: &Sealed) -> CacheKey {
    let mut context = digest::Context::new(&digest::SHA256);
    let binding = Binding { generation: 0, issuer: "" };
    context.update(&associated_data(owner, binding));
    context.update(wrapped.as_bytes());
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[derive(Debug, Default)]
struct Cache(HashMap<CacheKey, (DataKey, Timestamp)>);

impl Cache {
    fn insert(&mut self, at: CacheKey, key: DataKey, now: Timestamp) {
        self.0.retain(|_, (_, since)| is_fresh(*since, now));
        if self.0.len() >= limits::DATA_KEY_CACHE_ENTRIES
            && let Some(oldest) = self.0.iter().min_by_key(|(_, (_, since))| *since).map(|(at, _)| *at)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(at, (key, now));
    }

    fn get(&mut self, at: &CacheKey, now: Timestamp) -> Option<DataKey> {
        if self.0.get(at).is_some_and(|(_, since)| !is_fresh(*since, now)) {
            self.0.remove(at);
        }
        self.0.get(at).map(|(key, _)| key.clone())
    }
}

fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    (0..limits::DATA_KEY_CACHE_SECONDS).contains(&(now.as_second() - since.as_second()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> DataKey {
        DataKey { plain: Arc::new(Zeroizing::new([7; KEY_BYTES])), wrapped: Sealed(vec![1, 2, 3]) }
    }

    fn purpose() -> impl Strategy<Value = Purpose> {
        proptest::sample::select(&Purpose::ALL[..])
    }

    fn tenant() -> impl Strategy<Value = TenantId> {
        (0_u64..4).prop_map(|n| TenantId::from_record(&format!("tenant_{n:016x}")).unwrap())
    }

    proptest! {
        #[test]
        fn a_ciphertext_opens_only_for_its_owner_and_binding(
            tenants in (tenant(), tenant()),
            subjects in ("[a-c]{0,3}", "[a-c]{0,3}"),
            purposes in (purpose(), purpose()),
            generations in (0_u64..3, 0_u64..3),
            issuers in ("[a-c]{0,3}", "[a-c]{0,3}"),
            text in ".{0,200}",
        ) {
            let here = (&tenants.0, &subjects.0, purposes.0, generations.0, &issuers.0);
            let there = (&tenants.1, &subjects.1, purposes.1, generations.1, &issuers.1);
            let at = |location: (&TenantId, &String, Purpose, u64, &String), sealed: Option<&Sealed>| {
                let owner = Owner { tenant: &location.0.clone(), subject: &location.1.clone(), purpose: location.2 };
                let binding = Binding { generation: location.3, issuer: &location.4.clone() };
                match sealed {
                    Some(sealed) => Err(key().open(owner, binding, sealed)),
                    None => Ok(key().seal(owner, binding, &Secret::new(text.clone()))),
                }
            };
            let sealed = at(here, None).unwrap();
            let opened = at(there, Some(&sealed)).unwrap_err();
            prop_assert_eq!(opened.is_some(), here == there);
            if let Some(opened) = opened {
                prop_assert_eq!(opened.expose(), text);
            }
        }

        #[test]
        fn arbitrary_bytes_give_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let tenant = TenantId::generate();
            let owner = Owner { tenant: &tenant, subject: "conn", purpose: Purpose::Access };
            let binding = Binding { generation: 1, issuer: "https://rc.example" };
            prop_assert!(key().open(owner, binding, &Sealed(bytes)).is_none());
        }

        #[test]
        fn a_ciphertext_with_one_flipped_bit_does_not_open(at in 0_usize..1_000, bit in 0_u8..8) {
            let tenant = TenantId::generate();
            let owner = Owner { tenant: &tenant, subject: "conn", purpose: Purpose::Refresh };
            let binding = Binding { generation: 1, issuer: "https://rc.example" };
            let mut bytes = key().seal(owner, binding, &Secret::new("a refresh token")).0;
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(key().open(owner, binding, &Sealed(bytes)).is_none());
        }
    }

    #[test]
    fn the_key_cache_is_limited_in_size_and_age() {
        let mut cache = Cache::default();
        let start = Timestamp::from_second(1_000_000).unwrap();
        for n in 0..=u8::MAX {
            cache.insert([n; 32], key(), start);
        }
        cache.insert([0; 32].map(|_: u8| 255), key(), start);
        assert!(cache.0.len() <= limits::DATA_KEY_CACHE_ENTRIES);
        assert!(cache.get(&[255; 32], start).is_some());
        let late = Timestamp::from_second(1_000_000 + limits::DATA_KEY_CACHE_SECONDS).unwrap();
        assert!(cache.get(&[255; 32], late).is_none());
    }
}
