/* `boltpool hash-password`: reads a password from standard input and prints its line for auth_file. */
#include "cli/command.h"

#include "proxy/users.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <string.h>

int bpi_cmd_hash_password(int argc, char **argv)
{
    char password[512];
    char hash[256];
    if (argc != 2 || argv[1][0] == '-' || strchr(argv[1], ':') != NULL) {
        fputs("usage: boltpool hash-password USER < file-with-the-password\n"
              "prints USER:scrypt$... for the file that auth_file names; the password is never an\n"
              "argument, because arguments can be seen by all users of a machine\n",
              stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    if (fgets(password, sizeof(password), stdin) == NULL) {
        fputs("boltpool hash-password: no password on standard input\n", stderr);
        return 1;
    }
    password[strcspn(password, "\r\n")] = '\0';
    int error = bpi_users_hash(password, hash, sizeof(hash));
    OPENSSL_cleanse(password, sizeof(password));
    if (error != 0) {
        fputs("boltpool hash-password: hashing failed\n", stderr);
        return 1;
    }
    printf("%s:%s\n", argv[1], hash);
    return 0;
}
