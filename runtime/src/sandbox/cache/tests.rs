use super::*;
use crate::sandbox::inspect::tests::component;

fn engine() -> Engine {
    Engine::default()
}

fn compiled(engine: &Engine, exports: &[&str]) -> (FileHash, Vec<u8>) {
    let wasm = component(&[], exports);
    let bytes = Component::new(engine, &wasm).and_then(|made| made.serialize()).expect("compiles");
    (FileHash(Sha256::digest(&wasm).into()), bytes)
}

fn entry(dir: &Path) -> PathBuf {
    let mut found = entries(dir);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let is_entry = |path: &PathBuf| path.extension().is_some_and(|found| found == EXTENSION);
    fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).filter(is_entry).collect()
}

#[test]
fn what_was_kept_is_found_again_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine();
    let (wasm, code) = compiled(&engine, &["a:b/c"]);
    let cache = Cache::open(dir.path(), &engine).expect("opens");
    assert!(cache.load(&engine, wasm).is_none());
    cache.keep(wasm, &code).expect("kept");
    let again = Cache::open(dir.path(), &engine).expect("opens again");
    assert!(again.load(&engine, wasm).is_some());
}

#[test]
fn a_tampered_file_is_removed_and_never_loaded() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine();
    let (wasm, code) = compiled(&engine, &["a:b/c"]);
    let cache = Cache::open(dir.path(), &engine).expect("opens");
    cache.keep(wasm, &code).expect("kept");
    let path = entry(dir.path());
    let mut bytes = fs::read(&path).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&path, bytes).expect("writes");
    assert!(cache.load(&engine, wasm).is_none());
    assert!(!path.exists());
}

#[test]
fn a_sealed_file_under_another_plugins_name_is_not_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine();
    let (wasm, code) = compiled(&engine, &["a:b/c"]);
    let cache = Cache::open(dir.path(), &engine).expect("opens");
    cache.keep(wasm, &code).expect("kept");
    let other = FileHash([9; 32]);
    fs::rename(entry(dir.path()), dir.path().join(cache.name(other))).expect("renames");
    assert!(cache.load(&engine, other).is_none());
}

#[test]
fn other_settings_of_the_engine_are_another_entry() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = engine();
    let (wasm, code) = compiled(&first, &["a:b/c"]);
    Cache::open(dir.path(), &first).and_then(|cache| cache.keep(wasm, &code)).expect("kept");
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true);
    let second = Engine::new(&config).expect("an engine");
    assert!(Cache::open(dir.path(), &second).expect("opens").load(&second, wasm).is_none());
    assert_eq!(entries(dir.path()).len(), 1, "the other engine's entry stays");
}

#[test]
fn a_key_that_others_could_read_is_replaced_and_what_it_sealed_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine();
    let (wasm, code) = compiled(&engine, &["a:b/c"]);
    Cache::open(dir.path(), &engine).and_then(|cache| cache.keep(wasm, &code)).expect("kept");
    fs::set_permissions(dir.path().join(KEY_FILE), Permissions::from_mode(0o644)).expect("opened up");
    let cache = Cache::open(dir.path(), &engine).expect("opens");
    assert!(cache.load(&engine, wasm).is_none());
}

#[test]
fn the_folder_and_all_in_it_are_closed_to_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("data/cache");
    let engine = engine();
    let (wasm, code) = compiled(&engine, &["a:b/c"]);
    Cache::open(&folder, &engine).and_then(|cache| cache.keep(wasm, &code)).expect("kept");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(KEY_FILE)), 0o600);
    assert_eq!(mode(&entry(&folder)), 0o600);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2, "nothing else is left there");
}

#[test]
fn the_oldest_goes_when_there_is_no_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine();
    let (first, code) = compiled(&engine, &["a:b/first"]);
    let room = 2 * (code.len() as u64 + TAG_BYTES as u64) + 1024;
    let cache = Cache::open_with(dir.path(), &engine, room).expect("opens");
    fs::create_dir(dir.path().join("versions")).expect("a folder of another's");
    cache.keep(first, &code).expect("kept");
    let past = SystemTime::now() - std::time::Duration::from_secs(60);
    let set = |path: PathBuf| File::options().append(true).open(path).and_then(|file| file.set_modified(past));
    set(entry(dir.path())).expect("aged");
    let (second, code) = compiled(&engine, &["a:b/other"]);
    cache.keep(second, &code).expect("kept");
    assert!(cache.load(&engine, first).is_some(), "used again, and with that the youngest");
    set(dir.path().join(cache.name(second))).expect("aged");
    let (third, code) = compiled(&engine, &["a:b/third"]);
    cache.keep(third, &code).expect("kept");
    assert_eq!(entries(dir.path()).len(), 2);
    assert!(cache.load(&engine, second).is_none());
    assert!(cache.load(&engine, third).is_some());
    assert!(dir.path().join("versions").is_dir());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    fs::write(&file, b"").expect("writes");
    let error = Cache::open(&file.join("cache"), &engine()).expect_err("no folder in a file");
    assert!(matches!(error, CacheError::Io { what: "create", .. }));
}
