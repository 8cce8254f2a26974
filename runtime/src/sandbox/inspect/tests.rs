use proptest::prelude::*;

use super::*;

/// A component that exports empty instances under these names, and imports some under those.
pub(crate) fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // One type: an instance of nothing.
    section(&mut bytes, 7, &[1, 0x42, 0]);
    for name in imports {
        section(&mut bytes, 10, &[&[1, 0, name.len() as u8], name.as_bytes(), &[5, 0]].concat());
    }
    // One instance: of no exports.
    section(&mut bytes, 5, &[1, 1, 0]);
    for name in exports {
        let index = imports.len() as u8;
        section(&mut bytes, 11, &[&[1, 0, name.len() as u8], name.as_bytes(), &[5, index, 0]].concat());
    }
    bytes
}

fn section(bytes: &mut Vec<u8>, id: u8, body: &[u8]) {
    assert!(body.len() < 128, "one byte of LEB128 is enough for a test");
    bytes.extend([id, body.len() as u8]);
    bytes.extend(body);
}

const CHANNEL: &str = "campanile:plugin/channel@0.1.1";
const HTTP: &str = "campanile:plugin/http@0.1.1";

fn refusal(bytes: &[u8]) -> String {
    inspect(bytes.to_vec()).expect_err("refused").to_string()
}

#[test]
fn a_plugin_is_told_by_what_it_exports() {
    let inspected = inspect(component(&[HTTP], &[CHANNEL])).expect("a channel");
    assert_eq!(inspected.kind, PluginKind::Channel);
    assert_eq!(inspected.contract, CONTRACT_VERSION);
    assert_eq!(inspected.imports, [HTTP]);
    assert_eq!(inspected.exports, [CHANNEL]);
    let engine = inspect(component(&[], &["campanile:plugin/template-engine@0.1.0"])).expect("an engine");
    assert_eq!(engine.kind, PluginKind::TemplateEngine);
}

#[test]
fn every_other_file_is_refused_with_its_reason() {
    let whole = component(&[], &[CHANNEL]);
    let refusals = [
        refusal(b""),
        refusal(b"\0as"),
        refusal(b"(component)"),
        refusal("<html>Überraschung</html>\r\n".as_bytes()),
        refusal(b"\x1f\x8b\x08\0\0\0\0\0\x01\x02"),
        refusal(b"\x7fELF\x02\x01\x01\xc8\0\0"),
        refusal(b"\0asm"),
        refusal(&whole[..whole.len() - 3]),
        refusal(b"\0asm\x01\0\0\0"),
        refusal(b"\0asm\x0d\0\x01\0\x0b\x01\x7f"),
        refusal(&component(&[], &[])),
        refusal(&component(&[], &["wasi:cli/run@0.2.6", "acme:notify/send"])),
        refusal(&component(&[], &[CHANNEL, "campanile:plugin/template-engine@0.1.0"])),
        refusal(&component(&[], &["campanile:plugin/channel@0.2.0"])),
        refusal(&component(&[], &["campanile:plugin/channel@1.0.0"])),
        refusal(&component(&[], &["campanile:plugin/channel@0.0.9"])),
        refusal(&component(&["campanile:plugin/http@0.2.0", "campanile:plugin/kv@0.1.3"], &[CHANNEL])),
        refusal(&component(
            &[HTTP, "wasi:nn/graph@0.2.0", "wasi:cli/stdin@0.3.0", "campanile:plugin/foo@0.1.0"],
            &[CHANNEL],
        )),
        refusal(&component(&["campanile:plugin/fax@0.1.3"], &["campanile:plugin/channel@0.1.3"])),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    the file is empty: put the compiled component here
    the file is cut off: what starts at byte 0 needs 8 bytes, 3 are there; copy it once more
    it is text, not WebAssembly: put the compiled component here
    it is text, not WebAssembly: put the compiled component here
    it is not WebAssembly, it starts with bytes `1f8b080000000000`: put the compiled component here
    it is precompiled (native code in ELF), which is never loaded: put the .wasm that it was made from here
    the file is cut off: what starts at byte 0 needs 8 bytes, 4 are there; copy it once more
    the file is cut off: what starts at byte 18 needs 36 bytes, 33 are there; copy it once more
    it is a core module, not a component: build it for target `wasm32-wasip2`
    it is not a valid component: unexpected end-of-file (at offset 0xb); build it once more, for target `wasm32-wasip2`
    it is a component of another world: it exports nothing; a plugin exports `campanile:plugin/channel@0.1.1` or `campanile:plugin/template-engine@0.1.1`: build it against a world of `campanile:plugin`
    it is a component of another world: it exports `wasi:cli/run@0.2.6`, `acme:notify/send`; a plugin exports `campanile:plugin/channel@0.1.1` or `campanile:plugin/template-engine@0.1.1`: build it against a world of `campanile:plugin`
    it exports a channel and a template engine: make two plugins of it
    it needs contract 0.2.0, this program offers 0.1.1: update campanile, or build the plugin with an SDK for 0.1
    it needs contract 1.0.0, this program offers 0.1.1: update campanile, or build the plugin with an SDK for 0.1
    it was made for contract 0.0.9, this program offers 0.1.1: build the plugin with an SDK for 0.1
    it is built against several contracts (`campanile:plugin/kv@0.1.3`, `campanile:plugin/http@0.2.0`): build all of it against one
    it imports `wasi:nn/graph@0.2.0`, `wasi:cli/stdin@0.3.0`, `campanile:plugin/foo@0.1.0`, which this program does not offer; a plugin may import of `campanile:plugin@0.1.1` types, http, sign, cache, kv, log; of WASI 0.2 cli, clocks, filesystem, http, io, random, sockets
    it imports `campanile:plugin/fax@0.1.3`, which this program does not offer: update campanile, or build the plugin for its contract; a plugin may import of `campanile:plugin@0.1.1` types, http, sign, cache, kv, log; of WASI 0.2 cli, clocks, filesystem, http, io, random, sockets
    ");
}

#[test]
fn a_later_patch_of_the_contract_is_served_as_long_as_it_imports_nothing_new() {
    let imports = ["campanile:plugin/types@0.1.0", "campanile:plugin/http@0.1.3", "wasi:io/poll@0.2.9"];
    let later = component(&imports, &["campanile:plugin/channel@0.1.3", "campanile:plugin/batch@0.1.3"]);
    let inspected = inspect(later).expect("nothing of it is missing here");
    assert_eq!(inspected.contract, semver::Version::new(0, 1, 3));
}

#[test]
fn a_file_is_judged_by_its_size_before_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sparse.wasm");
    File::create(&path).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    let error = inspect_file(&path).expect_err("too large");
    assert!(matches!(error, InspectError::TooLarge { size, limit } if size == 1 << 30 && limit == FILE_BYTES_MAX));
}

#[test]
fn a_file_that_is_too_large_is_told_the_limit_and_that_it_is_fixed() {
    let error = InspectError::TooLarge { size: 80_000_008, limit: FILE_BYTES_MAX };
    assert_eq!(
        error.to_string(),
        "the file has 80000008 bytes, the limit is 67108864 bytes (64MiB); no setting changes that: build it smaller, \
         for instance without debug information"
    );
}

#[test]
fn what_follows_a_whole_component_is_not_called_cut_off() {
    let whole = component(&[], &[CHANNEL]);
    for tail in [&b"garbage"[..], b"\0\0\0\0", b"\n", &whole] {
        let error = inspect([whole.as_slice(), tail].concat()).expect_err("refused");
        let (end, rest) = (whole.len() as u64, tail.len() as u64);
        assert!(matches!(error, InspectError::Trailing { at, there } if at == end && there == rest), "{error}");
    }
    let custom = [whole.as_slice(), &[0, 3, 2], b"ok"].concat();
    assert!(inspect(custom).is_ok(), "a section with a name is a section");
}

#[test]
fn what_is_not_a_readable_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(inspect_file(folder.path()), Err(InspectError::NotAFile)));
    assert!(matches!(inspect_file(&folder.path().join("gone.wasm")), Err(InspectError::Unreadable(_))));
}

proptest! {
    #[test]
    fn no_part_of_a_plugin_passes_for_one(cut in 0_usize..200) {
        let whole = component(&[HTTP], &[CHANNEL]);
        prop_assume!(cut < whole.len());
        prop_assert!(inspect(whole[..cut].to_vec()).is_err());
    }

    #[test]
    fn no_bytes_whatever_bring_it_down(tail in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = inspect([b"\0asm\x0d\0\x01\0", tail.as_slice()].concat());
        let _ = inspect(tail);
    }
}
