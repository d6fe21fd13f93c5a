/* Formats a printf message straight into an error string.
 *
 * ROOM(object, n) makes room for n characters in front of the text and returns
 * the place, or NULL when there is no memory; CUT(object, text, n) puts what
 * fits of a text of n characters there, of which the first ones are given.
 * SIZE is the size of the string that needs no memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ADD_MESSAGE(object, format, last, ROOM, CUT, SIZE)                      \
    do {                                                                        \
        static const char bad[] = "(bad format string)";                        \
        va_list args;                                                           \
        int length;                                                             \
        char *place, after;                                                     \
                                                                                \
        va_start(args, last);                                                   \
        length = vsnprintf(NULL, 0, format, args);                              \
        va_end(args);                                                           \
        place = ROOM(object, length < 0 ? sizeof(bad) - 1 : (size_t)length);    \
        if (place && length < 0) {                                              \
            memcpy(place, bad, sizeof(bad) - 1);                                \
        } else if (place) {                                                     \
            after = place[length]; /* vsnprintf puts its NUL here */            \
            va_start(args, last);                                               \
            vsnprintf(place, (size_t)length + 1, format, args);                 \
            va_end(args);                                                       \
            place[length] = after;                                              \
        } else if (length < 0) {                                                \
            CUT(object, bad, sizeof(bad) - 1);                                  \
        } else {                                                                \
            char start[SIZE];                                                   \
                                                                                \
            va_start(args, last);                                               \
            vsnprintf(start, sizeof(start), format, args);                      \
            va_end(args);                                                       \
            CUT(object, start, (size_t)length);                                 \
        }                                                                       \
    } while (0)
