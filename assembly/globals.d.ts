/** Set by the debug target (`use` in asconfig.json); ask with `isDefined(ENGINE_DEBUG)`. For editors and tsc only. */
declare const ENGINE_DEBUG: i32;
