<?php
/*
Plugin Name: Medicarche, annuaire
Description: Written by Medicarche; changes are put back. People log in with their account of the company's directory.
*/

// Who is in none of the groups that have a role here isn't found: the directory doesn't show them to this site.
// WordPress's own accounts are what the directory's people look like to it: their passwords open nothing. The local
// administrator alone has one that does, so that somebody gets in when the directory is down.

final class Medicarche_Directory
{
    /** seconds after which somebody who is logged in is asked for again */
    private const FRESH = 30;
    /** seconds for which people who are logged in go on when the directory doesn't answer */
    private const PATIENCE = 3600;
    private const MARK = 'medicarche_directory';

    private static bool $down = false;

    /** @param array{uri: string, base: string, account: string, password: string, authority: string, local: string,
     *               roles: list<array{group: string, role: string}>} $settings */
    public function __construct(private array $settings)
    {
        add_filter('authenticate', $this->authenticate(...), 10, 3);
        add_action('init', $this->ask_again(...), 0);
        add_filter('login_errors', $this->tell(...), 20);
        // a second password that the directory knows nothing of
        add_filter('wp_is_application_passwords_available', '__return_false');
        add_filter('allow_password_reset', fn(bool $allow, int $id) => $allow && !get_user_meta($id, self::MARK, true), 10, 2);
        add_filter('show_password_fields', fn(bool $show, WP_User $user) => $show && !get_user_meta($user->ID, self::MARK, true), 10, 2);
    }

    public function authenticate(mixed $user, ?string $login, ?string $password): mixed
    {
        if ($user instanceof WP_User || (string) $login === '' || (string) $password === '') {
            return $user;
        }
        if (strcasecmp($login, $this->settings['local']) === 0) {
            return $user; // by WordPress itself
        }
        remove_filter('authenticate', 'wp_authenticate_username_password', 20);
        remove_filter('authenticate', 'wp_authenticate_email_password', 20);
        try {
            $person = $this->find($login);
            if ($person === null || !$this->fits($person['dn'], $password)) {
                return new WP_Error('incorrect_password', 'Identifiant ou mot de passe incorrect.');
            }
            return $this->account($person);
        } catch (Medicarche_Directory_Down $error) {
            self::$down = true;
            error_log('the directory: ' . $error->getMessage());
            return new WP_Error('directory_down', '');
        }
    }

    /** Asks for somebody who is logged in again: who has left, or has no role any more, is out at once. */
    public function ask_again(): void
    {
        $user = wp_get_current_user();
        $asked = $user->ID ? (int) get_user_meta($user->ID, self::MARK, true) : 0;
        if (!$asked || time() - $asked < self::FRESH) {
            return;
        }
        try {
            if (get_transient('medicarche_directory_down')) {
                throw new Medicarche_Directory_Down('it did not answer a moment ago');
            }
            $person = $this->find($user->user_login);
        } catch (Medicarche_Directory_Down) {
            set_transient('medicarche_directory_down', 1, self::FRESH);
            if (time() - $asked > self::PATIENCE) {
                $this->put_out($user);
            }
            return;
        }
        if ($person === null) {
            $user->set_role('');
            $this->put_out($user);
            return;
        }
        $this->account($person);
    }

    public function tell(string $message): string
    {
        return self::$down ? "L'annuaire ne répond pas : réessayez plus tard, ou prévenez la DSI." : $message;
    }

    private function put_out(WP_User $user): void
    {
        WP_Session_Tokens::get_instance($user->ID)->destroy_all();
        wp_clear_auth_cookie();
        wp_set_current_user(0);
    }

    /** @param array{dn: string, login: string, first: string, last: string, name: string, mail: string, role: string} $person */
    private function account(array $person): WP_User|WP_Error
    {
        $user = get_user_by('login', $person['login']);
        $values = ['user_login' => $person['login'], 'user_email' => $person['mail'], 'first_name' => $person['first'],
            'last_name' => $person['last'], 'display_name' => $person['name']];
        if (!$user) {
            $id = wp_insert_user($values + ['user_pass' => wp_generate_password(64, true, true), 'role' => $person['role']]);
            if (is_wp_error($id)) {
                return $id;
            }
            $user = get_user_by('id', $id);
        } elseif ($user->user_email !== $person['mail'] || $user->display_name !== $person['name']) {
            wp_update_user(['ID' => $user->ID] + $values);
        }
        if ($user->roles !== [$person['role']]) {
            $user->set_role($person['role']);
        }
        update_user_meta($user->ID, self::MARK, time());
        return $user;
    }

    /** @return ?array{dn: string, login: string, first: string, last: string, name: string, mail: string, role: string} */
    private function find(string $login): ?array
    {
        $connection = $this->connect();
        if (!@ldap_bind($connection, $this->settings['account'], $this->settings['password'])) {
            throw new Medicarche_Directory_Down('this site: ' . ldap_error($connection));
        }
        $found = @ldap_list(
            $connection,
            'ou=people,' . $this->settings['base'],
            '(uid=' . ldap_escape($login, '', LDAP_ESCAPE_FILTER) . ')',
            ['uid', 'cn', 'givenName', 'sn', 'mail', 'memberOf']
        );
        if ($found === false) {
            throw new Medicarche_Directory_Down(ldap_error($connection));
        }
        $entries = ldap_get_entries($connection, $found);
        if ($entries['count'] !== 1) {
            return null;
        }
        $entry = $entries[0];
        $groups = $entry['memberof'] ?? [];
        foreach ($this->settings['roles'] as ['group' => $group, 'role' => $role]) {
            if (in_array($group, $groups, true)) {
                return ['dn' => $entry['dn'], 'login' => $entry['uid'][0], 'first' => $entry['givenname'][0],
                    'last' => $entry['sn'][0], 'name' => $entry['cn'][0], 'mail' => $entry['mail'][0], 'role' => $role];
            }
        }
        return null;
    }

    private function fits(string $dn, string $password): bool
    {
        $connection = $this->connect();
        if (@ldap_bind($connection, $dn, $password)) {
            return true;
        }
        // LDAP_INVALID_CREDENTIALS, RFC 4511, appendix A.2
        if (ldap_errno($connection) !== 49) {
            throw new Medicarche_Directory_Down(ldap_error($connection));
        }
        return false;
    }

    private function connect(): LDAP\Connection
    {
        ldap_set_option(null, LDAP_OPT_X_TLS_CACERTFILE, $this->settings['authority']);
        ldap_set_option(null, LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_DEMAND);
        $connection = ldap_connect($this->settings['uri']);
        ldap_set_option($connection, LDAP_OPT_PROTOCOL_VERSION, 3);
        ldap_set_option($connection, LDAP_OPT_REFERRALS, 0);
        ldap_set_option($connection, LDAP_OPT_NETWORK_TIMEOUT, 3);
        ldap_set_option($connection, LDAP_OPT_TIMELIMIT, 5);
        return $connection;
    }
}

final class Medicarche_Directory_Down extends RuntimeException
{
}

$settings = require '/etc/wordpress/directory-settings.php';
if ($settings !== null) {
    new Medicarche_Directory($settings);
}
