//! One list of arities for everything that takes parameters or arguments one by one.
//!
//! Tuples of arguments, handlers of clients and methods of hubs must agree on how many there may be, so the list stands here, below
//! all of them, and each brings a macro that makes of one arity what it needs.

/// Hands all arities from 0 to 12 to the macro `$then`: `(count: index Type Marker value, …)`, one after the other.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_arity {
    ($then:ident) => {
        $then! {
            (0:)
            (1: 0 A MA a)
            (2: 0 A MA a, 1 B MB b)
            (3: 0 A MA a, 1 B MB b, 2 C MC c)
            (4: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d)
            (5: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e)
            (6: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g)
            (7: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g, 6 I MI i)
            (8: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g, 6 I MI i, 7 J MJ j)
            (9: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g, 6 I MI i, 7 J MJ j, 8 K MK k)
            (10: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g, 6 I MI i, 7 J MJ j, 8 K MK k, 9 L ML l)
            (11: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g, 6 I MI i, 7 J MJ j, 8 K MK k, 9 L ML l, 10 N MN n)
            (12: 0 A MA a, 1 B MB b, 2 C MC c, 3 D MD d, 4 E ME e, 5 G MG g, 6 I MI i, 7 J MJ j, 8 K MK k, 9 L ML l, 10 N MN n, 11 O MO o)
        }
    };
}
