//! What makes a component of a crate. Both macros expand to exports on wasm only.

/// Exports a [`Channel`](crate::Channel), and exactly the optional abilities named.
///
/// `export_channel!(Slack);` exports `describe` and `send`; `export_channel!(Slack: configure, supports, health, poll);` adds
/// those four. To export an ability is to declare it, so name one only if the type implements it.
///
/// On wasm it also sets the allocator of the component, and answers in place of libc what the standard library asks of
/// the outside, so that an ordinary plugin imports nothing of WASI: see the README, "Memory" and "Printing". A plugin
/// that means to write to standard output, read its environment or exit says so: `export_channel!(Console: stdio);`.
#[macro_export]
macro_rules! export_channel {
    ($channel:ty $(: $($ability:ident),+ $(,)?)?) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::__private::assert_channel::<$channel>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;
            impl $crate::guest::channel::Guest for Exported {
                fn describe() -> $crate::guest::channel::Descriptor {
                    $crate::guest::describe_channel::<$channel>(&[$($(stringify!($ability)),+)?])
                }
                fn send(
                    context: $crate::guest::types::Context,
                    delivery: $crate::guest::types::Delivery,
                ) -> $crate::guest::types::Outcome {
                    $crate::guest::send::<$channel>(context, delivery)
                }
            }
            $crate::guest::channel_world::__export_channel!(Exported with_types_in $crate::guest::channel_world);
            $($($crate::__export_ability!($ability, $channel);)+)?
            $crate::__set_allocator!();
            $crate::__without_stdio!($($($ability)+)?);
        };
    };
}

/// Exports a [`TemplateEngine`](crate::TemplateEngine).
#[macro_export]
macro_rules! export_template_engine {
    ($engine:ty) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::__private::assert_template_engine::<$engine>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;
            impl $crate::guest::template_engine::Guest for Exported {
                fn describe() -> $crate::guest::template_engine::Descriptor {
                    $crate::guest::describe_engine::<$engine>()
                }
                fn check(
                    template: $crate::guest::template_engine::Template,
                ) -> Result<
                    $crate::guest::template_engine::Info,
                    $crate::guest::Vec<$crate::guest::template_engine::Problem>,
                > {
                    $crate::guest::check::<$engine>(template)
                }
                fn render(
                    template: $crate::guest::template_engine::Template,
                    data: $crate::guest::String,
                    options: $crate::guest::template_engine::Options,
                ) -> Result<$crate::guest::Vec<$crate::guest::types::Part>, $crate::guest::template_engine::Problem>
                {
                    $crate::guest::render::<$engine>(template, &data, options)
                }
            }
    $crate::guest::template_world::__export_template!(Exported with_types_in $crate::guest::template_world);
            $crate::__set_allocator!();
            $crate::__without_stdio!();
        };
    };
}

/// One optional export of a channel.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_ability {
    (configure, $channel:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::guest::configure::Guest for Exported {
                fn configure(
                    config: $crate::guest::String,
                ) -> $crate::guest::Vec<$crate::guest::configure::ConfigProblem> {
                    $crate::guest::run_configure::<$channel>(&config)
                }
            }
    $crate::guest::configure_world::__export_configure!(Exported with_types_in $crate::guest::configure_world);
        };
    };
    (supports, $channel:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::guest::supports::Guest for Exported {
                fn supports(
                    context: $crate::guest::types::Context,
                    recipient: $crate::guest::types::Recipient,
                ) -> Result<(), $crate::guest::String> {
                    $crate::guest::run_supports::<$channel>(context, recipient)
                }
            }
    $crate::guest::supports_world::__export_supports!(Exported with_types_in $crate::guest::supports_world);
        };
    };
    (health, $channel:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::guest::health::Guest for Exported {
                fn health(context: $crate::guest::types::Context) -> $crate::guest::health::State {
                    $crate::guest::run_health::<$channel>(context)
                }
            }
    $crate::guest::health_world::__export_health!(Exported with_types_in $crate::guest::health_world);
        };
    };
    (poll, $channel:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::guest::poll::Guest for Exported {
                fn poll(
                    context: $crate::guest::types::Context,
                    receipt: $crate::guest::types::Receipt,
                ) -> $crate::guest::types::Outcome {
                    $crate::guest::run_poll::<$channel>(context, receipt)
                }
            }
    $crate::guest::poll_world::__export_poll!(Exported with_types_in $crate::guest::poll_world);
        };
    };
    // No export: see `__without_stdio`.
    (stdio, $channel:ty) => {};
    ($other:ident, $channel:ty) => {
        compile_error!(concat!(
            "`",
            stringify!($other),
            "` is no ability of a channel: there are `configure`, `supports`, `health`, `poll` and `stdio`"
        ));
    };
}

/// The arena, once per component.
#[doc(hidden)]
#[macro_export]
macro_rules! __set_allocator {
    () => {
        #[global_allocator]
        static ARENA: $crate::guest::Arena = $crate::guest::Arena::new();
    };
}

/// Defines what the standard library would take from libc to reach its environment, unless `stdio` is named.
///
/// A symbol that is defined here is not looked up in libc, which would bring fourteen WASI interfaces along: a third of
/// the time an instance takes to be made.
#[doc(hidden)]
#[macro_export]
macro_rules! __without_stdio {
    (stdio $($rest:ident)*) => {};
    ($other:ident $($rest:ident)*) => {
        $crate::__without_stdio!($($rest)*);
    };
    () => {
        #[unsafe(no_mangle)]
        extern "C" fn getenv(_: *const u8) -> *mut u8 {
            ::core::ptr::null_mut()
        }
        #[unsafe(no_mangle)]
        unsafe extern "C" fn write(descriptor: i32, bytes: *const u8, length: usize) -> isize {
            // SAFETY: libc's contract is that of the function called.
            unsafe { $crate::guest::stdio::write(descriptor, bytes, length) }
        }
        #[unsafe(no_mangle)]
        unsafe extern "C" fn writev(descriptor: i32, stretches: *const $crate::guest::stdio::Stretch, count: i32) -> isize {
            // SAFETY: libc's contract is that of the function called.
            unsafe { $crate::guest::stdio::write_all(descriptor, stretches, count) }
        }
        #[unsafe(no_mangle)]
        extern "C" fn abort() -> ! {
            ::core::arch::wasm32::unreachable()
        }
        #[unsafe(no_mangle)]
        extern "C" fn exit(_: i32) -> ! {
            ::core::arch::wasm32::unreachable()
        }
        #[unsafe(no_mangle)]
        extern "C" fn _Exit(_: i32) -> ! {
            ::core::arch::wasm32::unreachable()
        }
    };
}
