//! Uploads by the GraphQL multipart request specification
//! (<https://github.com/jaydenseric/graphql-multipart-request-spec>), read as a stream.
//!
//! async-graphql's own reader spools every file to disk before anybody is asked who sends it. Here the caller has
//! authenticated the viewer; `operations` and `map` come first and are small; the operation is parsed, bounded and
//! validated before the first byte of the file is read; and the file goes to the [`Store`] in pieces.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderMap},
    web,
};
use async_graphql::{
    Context, ErrorExtensions, InputValueError, InputValueResult, Scalar, ScalarType, Value, Variables,
};
use bytes::{Bytes, BytesMut};
use domain::Viewer;
use futures::{SinkExt, Stream, StreamExt, channel::mpsc};
use multer::{Field, Multipart};
use tokio::time::{Instant, timeout_at};

use super::negotiate::{Code, Refusal};
use super::uploads::{Store, UploadId};

/// The bounds of an upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadLimits {
    /// Bytes of a file.
    pub(crate) file: u64,
    /// Bytes of the whole body beyond one file.
    pub(crate) slack: u64,
    /// Bytes of `operations` and of `map`, each.
    pub(crate) field: usize,
    /// Files of a request.
    pub(crate) files: usize,
    /// Bytes handed to the store at once.
    pub(crate) piece: usize,
    /// How long the client may send nothing.
    pub(crate) idle: Duration,
    /// How long the whole request may take, so that a byte now and then does not hold it open.
    pub(crate) total: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            file: 100 * 1024 * 1024,
            slack: 1024 * 1024,
            field: 64 * 1024,
            files: 1,
            piece: 256 * 1024,
            idle: Duration::from_secs(30),
            total: Duration::from_mins(30),
        }
    }
}

/// A file sent by the GraphQL multipart request specification.
///
/// Its value is a place in the request's [`Uploads`], as bytes: a form that neither JSON nor a GraphQL literal can
/// write, so a client can't name a file that it has not sent in the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upload(usize);

/// A file sent by the GraphQL multipart request specification.
#[Scalar(
    name = "Upload",
    specified_by_url = "https://github.com/jaydenseric/graphql-multipart-request-spec"
)]
impl ScalarType for Upload {
    fn parse(value: Value) -> InputValueResult<Self> {
        let place = match &value {
            Value::Binary(bytes) => bytes.first().copied(),
            _ => None,
        };
        place.map(|place| Self(usize::from(place))).ok_or_else(|| {
            InputValueError::custom("a file is sent as a part of a multipart request")
                .with_extension("code", Code::BadUserInput.as_str())
        })
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Binary(_))
    }

    fn to_value(&self) -> Value {
        Value::Null
    }
}

impl Upload {
    /// The file, still to be abandoned when the request ends. Call [`Upload::keep`] once it belongs to something.
    pub(crate) fn id(self, ctx: &Context<'_>) -> async_graphql::Result<UploadId> {
        Ok(self.received(ctx)?.id)
    }

    /// The file has found its place; it stays when the request ends.
    pub(crate) fn keep(self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        self.received(ctx)?.kept.store(true, Ordering::Release);
        Ok(())
    }

    fn received<'a>(self, ctx: &Context<'a>) -> async_graphql::Result<&'a Received> {
        let uploads = ctx.data_opt::<Arc<Uploads>>();
        uploads.and_then(|uploads| uploads.0.get(self.0)).ok_or_else(|| {
            let error = async_graphql::Error::new("the request has no such file");
            error.extend_with(|_, extensions| extensions.set("code", Code::BadUserInput.as_str()))
        })
    }
}

/// The files of one request, in the order of its `map`.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Vec<Received>);

#[derive(Debug)]
struct Received {
    id: UploadId,
    kept: AtomicBool,
}

/// Which parts are files, and the one variable that each stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileMap(Vec<(String, String)>);

impl FileMap {
    /// Reads `map`: `{"0": ["variables.input.file"]}`.
    pub(crate) fn parse(json: &[u8], files: usize) -> Result<Self, Refusal> {
        let refuse = |message| Err(Refusal::new(Code::BadRequest, message));
        let Ok(map) = serde_json::from_slice::<BTreeMap<String, Vec<String>>>(json) else {
            return refuse("`map` must be an object of lists of strings");
        };
        if map.is_empty() {
            return refuse("`map` names no file");
        }
        if map.len() > files {
            return Err(Refusal::new(Code::BadRequest, "too many files").with("maximum", files));
        }
        let mut entries = Vec::new();
        for (part, paths) in map {
            match <[String; 1]>::try_from(paths) {
                Ok([path]) => entries.push((part, path)),
                Err(_) => return refuse("each file in `map` stands for exactly one variable"),
            }
        }
        Ok(Self(entries))
    }

    /// Puts the files' values in the variables' places. Each place must be there, and hold `null`.
    pub(crate) fn place(&self, variables: &mut Variables) -> Result<(), Refusal> {
        for (index, (_, path)) in self.0.iter().enumerate() {
            let place = slot(variables, path).filter(|value| **value == Value::Null);
            match (place, u8::try_from(index)) {
                (Some(value), Ok(index)) => *value = Value::Binary(Bytes::copy_from_slice(&[index])),
                _ => {
                    let message = "`map` must point to variables that are null, as in `variables.input.file`";
                    return Err(Refusal::new(Code::BadRequest, message));
                }
            }
        }
        Ok(())
    }

    fn index(&self, part: &str) -> Option<usize> {
        self.0.iter().position(|(name, _)| name == part)
    }
}

fn slot<'a>(variables: &'a mut Variables, path: &str) -> Option<&'a mut Value> {
    let mut steps = path.strip_prefix("variables.")?.split('.');
    let first = variables.get_mut(steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::List(items) => items.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Refuses what a page of another site could send without asking first: a form post needs no CORS preflight, but no
/// form can set a header.
fn demand_preflight(headers: &HeaderMap) -> Result<(), Refusal> {
    let forcing = [
        "graphql-require-preflight",
        "apollo-require-preflight",
        "x-requested-with",
    ];
    if forcing
        .iter()
        .any(|name| headers.get(*name).is_some_and(|value| !value.is_empty()))
    {
        return Ok(());
    }
    Err(Refusal::new(
        Code::PreflightRequired,
        "an upload needs the header `GraphQL-Require-Preflight: 1`",
    ))
}

/// The body, part by part.
pub(crate) struct Reader {
    parts: Multipart<'static>,
    limits: UploadLimits,
    end: Instant,
    /// Bytes taken since the last result.
    held: Arc<AtomicUsize>,
}

impl Reader {
    /// Looks at the headers; reads nothing yet.
    pub(crate) fn open(
        request: &HttpRequest,
        payload: web::Payload,
        boundary: String,
        limits: &UploadLimits,
    ) -> Result<Self, Refusal> {
        demand_preflight(request.headers())?;
        let whole = limits
            .file
            .saturating_mul(limits.files as u64)
            .saturating_add(limits.slack);
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > whole) {
            return Err(too_large(limits.file));
        }
        let sizes = multer::SizeLimit::new().whole_stream(whole);
        let constraints = multer::Constraints::new().size_limit(sizes);
        let held = Arc::<AtomicUsize>::default();
        let parts = Multipart::with_constraints(forward(payload, held.clone()), boundary, constraints);
        Ok(Self {
            parts,
            limits: limits.clone(),
            end: Instant::now() + limits.total,
            held,
        })
    }

    /// The first two parts, in this order.
    pub(crate) async fn envelope(&mut self) -> Result<(Bytes, FileMap), Refusal> {
        let operations = self.small("operations").await?;
        let map = self.small("map").await?;
        Ok((operations, FileMap::parse(&map, self.limits.files)?))
    }

    async fn small(&mut self, name: &'static str) -> Result<Bytes, Refusal> {
        let wrong = || {
            Refusal::new(
                Code::BadRequest,
                "the parts `operations` and `map` come first, in this order",
            )
        };
        let mut field = self
            .next()
            .await?
            .filter(|field| field.name() == Some(name))
            .ok_or_else(wrong)?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut field).await? {
            if bytes.len() + chunk.len() > self.limits.field {
                let message = format!("`{name}` is too large");
                return Err(Refusal::new(Code::PayloadTooLarge, message).with("maximum", self.limits.field));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// The files, into the store. On any failure what came is abandoned before this returns.
    pub(crate) async fn files(
        mut self,
        map: &FileMap,
        viewer: &Viewer,
        store: Arc<Store>,
    ) -> Result<Pending, Refusal> {
        let mut pending = Pending {
            store,
            uploads: Arc::default(),
            begun: Vec::new(),
            viewer: viewer.clone(),
        };
        match self.receive(map, viewer, &mut pending).await {
            Ok(order) => {
                pending.uploads = Arc::new(Uploads(order));
                Ok(pending)
            }
            Err(refusal) => {
                pending.settle().await;
                Err(refusal)
            }
        }
    }

    async fn receive(
        &mut self,
        map: &FileMap,
        viewer: &Viewer,
        pending: &mut Pending,
    ) -> Result<Vec<Received>, Refusal> {
        let mut files: Vec<Option<Received>> = map.0.iter().map(|_| None).collect();
        while let Some(mut field) = self.next().await? {
            let index = field.name().and_then(|name| map.index(name));
            let Some(place) = index
                .and_then(|index| files.get_mut(index))
                .filter(|place| place.is_none())
            else {
                return Err(Refusal::new(
                    Code::BadRequest,
                    "a part that `map` does not name, or names once",
                ));
            };
            let filename = field.file_name().map(str::to_owned);
            let id = pending.store.begin(viewer, filename).await?;
            pending.begun.push(id);
            self.pour(&mut field, viewer, id, &pending.store).await?;
            *place = Some(Received {
                id,
                kept: AtomicBool::new(false),
            });
        }
        let files: Option<Vec<_>> = files.into_iter().collect();
        files.ok_or_else(|| Refusal::new(Code::BadRequest, "a file that `map` names is missing"))
    }

    async fn pour(
        &self,
        field: &mut Field<'static>,
        viewer: &Viewer,
        id: UploadId,
        store: &Store,
    ) -> Result<(), Refusal> {
        let (mut piece, mut size, mut position) = (BytesMut::new(), 0, 0);
        while let Some(chunk) = self.chunk(field).await? {
            size += chunk.len() as u64;
            if size > self.limits.file {
                return Err(too_large(self.limits.file));
            }
            piece.extend_from_slice(&chunk);
            while piece.len() >= self.limits.piece {
                store
                    .write(viewer, id, position, piece.split_to(self.limits.piece).freeze())
                    .await?;
                position += 1;
            }
        }
        if !piece.is_empty() {
            store.write(viewer, id, position, piece.freeze()).await?;
        }
        Ok(store.finish(viewer, id).await?)
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>, Refusal> {
        let deadline = self.deadline();
        self.held.store(0, Ordering::Relaxed);
        let next = timeout_at(deadline, self.parts.next_field())
            .await
            .map_err(|_| too_slow())?;
        next.map_err(|error| broken(&error, self.limits.file))
    }

    async fn chunk(&self, field: &mut Field<'static>) -> Result<Option<Bytes>, Refusal> {
        self.held.store(0, Ordering::Relaxed);
        let chunk = timeout_at(self.deadline(), field.chunk())
            .await
            .map_err(|_| too_slow())?;
        chunk.map_err(|error| broken(&error, self.limits.file))
    }

    fn deadline(&self) -> Instant {
        self.end.min(Instant::now() + self.limits.idle)
    }
}

/// What may come between two parts: their headers, and what stands before the first.
const BETWEEN_PARTS: usize = 256 * 1024;

/// Passes the body on, one chunk at a time: multer reads whatever is there, and wants a stream that is `Send`.
///
/// It also keeps everything in memory until the headers of a part are complete, so `held` counts what it has taken
/// since it last handed something out.
fn forward(
    mut payload: web::Payload,
    held: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let (mut sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(0);
    actix_web::rt::spawn(async move {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(std::io::Error::other);
            let last = chunk.is_err();
            if sender.send(chunk).await.is_err() || last {
                break;
            }
        }
    });
    receiver.map(move |chunk| {
        let chunk = chunk?;
        match held.fetch_add(chunk.len(), Ordering::Relaxed) > BETWEEN_PARTS {
            true => Err(std::io::Error::other("too much between two parts")),
            false => Ok(chunk),
        }
    })
}

fn too_large(maximum: u64) -> Refusal {
    Refusal::new(Code::PayloadTooLarge, "the file is too large").with("maximum", maximum)
}

fn too_slow() -> Refusal {
    Refusal::new(Code::RequestTimeout, "the upload stopped, or took too long")
}

fn broken(error: &multer::Error, maximum: u64) -> Refusal {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            too_large(maximum)
        }
        _ => Refusal::new(Code::BadRequest, "the multipart body is malformed or incomplete"),
    }
}

/// Received files that may still have to be abandoned.
pub(crate) struct Pending {
    store: Arc<Store>,
    uploads: Arc<Uploads>,
    /// Those that were begun and not yet settled.
    begun: Vec<UploadId>,
    viewer: Viewer,
}

impl Pending {
    /// For the request's data, where [`Upload`] finds them.
    pub(crate) fn uploads(&self) -> Arc<Uploads> {
        self.uploads.clone()
    }

    /// Abandons what no resolver kept.
    pub(crate) async fn settle(mut self) {
        for id in self.unwanted() {
            self.store.abandon(&self.viewer, id).await;
        }
    }

    fn unwanted(&mut self) -> Vec<UploadId> {
        let kept = |id| {
            self.uploads
                .0
                .iter()
                .any(|file| file.id == id && file.kept.load(Ordering::Acquire))
        };
        let unwanted = self.begun.iter().copied().filter(|id| !kept(*id)).collect();
        self.begun.clear();
        unwanted
    }
}

impl Drop for Pending {
    /// The way of a request whose connection went away: actix drops its future wherever it stands.
    fn drop(&mut self) {
        let unwanted = self.unwanted();
        if unwanted.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, viewer) = (self.store.clone(), self.viewer.clone());
        runtime.spawn(async move {
            for id in unwanted {
                store.abandon(&viewer, id).await;
            }
        });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
