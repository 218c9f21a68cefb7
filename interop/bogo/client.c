/* The shim as the runner starts it: hands its flags, folder and three descriptors to the nursery, and ends as the nursery's child ends.
 *
 * One message goes out, its length first (4 bytes of this machine's order) with the descriptors beside it: the folder, then each flag,
 * each ended by a zero.  One byte comes back, the exit status.  A killed client closes the socket, and the nursery kills the child.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static int fail(const char *what) {
    fprintf(stderr, "shim: %s: %s\n", what, errno ? strerror(errno) : "the nursery is gone");
    return 1;
}

int main(int argc, char **argv) {
    const char *path = getenv("MINITLS_BOGO");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "shim: MINITLS_BOGO does not name the nursery's socket\n");
        return 1;
    }
    strcpy(address.sun_path, path);

    char folder[4096];
    if (getcwd(folder, sizeof folder) == NULL) return fail("getcwd");
    size_t length = strlen(folder) + 1;
    for (int i = 1; i < argc; i++) length += strlen(argv[i]) + 1;
    uint32_t prefix = (uint32_t)length;
    char *message = malloc(sizeof prefix + length), *end = message;
    if (message == NULL) return fail("malloc");
    end = (char *)memcpy(end, &prefix, sizeof prefix) + sizeof prefix;
    end = stpcpy(end, folder) + 1;
    for (int i = 1; i < argc; i++) end = stpcpy(end, argv[i]) + 1;

    int nursery = socket(AF_UNIX, SOCK_STREAM, 0);
    if (nursery < 0 || connect(nursery, (struct sockaddr *)&address, sizeof address) < 0) return fail(path);

    int descriptors[3] = {0, 1, 2};
    union { struct cmsghdr align; char space[CMSG_SPACE(sizeof descriptors)]; } control = {0};
    struct iovec whole = {.iov_base = message, .iov_len = (size_t)(end - message)};
    struct msghdr header = {
        .msg_iov = &whole, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptors);
    memcpy(CMSG_DATA(rights), descriptors, sizeof descriptors);

    ssize_t sent = sendmsg(nursery, &header, 0);
    if (sent < 0) return fail("sendmsg");
    for (char *rest = message + sent; rest < end; rest += sent)
        if ((sent = write(nursery, rest, (size_t)(end - rest))) < 0) return fail("write");

    unsigned char status;
    errno = 0;
    ssize_t got;
    while ((got = read(nursery, &status, 1)) < 0 && errno == EINTR) errno = 0;
    return got == 1 ? status : fail("read");
}
