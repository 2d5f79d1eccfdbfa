// liburing.h asks for _XOPEN_SOURCE, which would give system types (fd_set) another shape here than in
// Swift's Glibc module; once features.h has been read, it no longer has a say.
#include <features.h>
#include <sys/types.h>
#include <signal.h>
#include <liburing.h>
