<?php
// The site as it is wanted: "check" says what differs, as a JSON list, and changes nothing; "apply" changes it.
// Standard input: a JSON object. Run as www-data.
$apply = ($argv[1] ?? '') === 'apply';
$wanted = json_decode(stream_get_contents(STDIN), true, 8, JSON_THROW_ON_ERROR);
$_SERVER['HTTP_HOST'] = parse_url($wanted['url'], PHP_URL_HOST) . ':' . parse_url($wanted['url'], PHP_URL_PORT);
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['HTTPS'] = 'on';

function finish(array $differences): never {
    while (ob_get_level() > 0) { ob_end_clean(); }
    echo json_encode($differences, JSON_UNESCAPED_UNICODE), "\n";
    exit(0);
}

// before WordPress is loaded: without a database it would answer with a page of its own
mysqli_report(MYSQLI_REPORT_OFF);
$database = @new mysqli('localhost', 'www-data', '', 'wordpress', 0, '/run/mysqld/mysqld.sock');
if ($database->connect_errno && $apply) {
    fwrite(STDERR, "MariaDB: {$database->connect_error}\n");
    exit(1);
}
if ($database->connect_errno && !in_array($database->connect_errno, [1044, 1045, 1049, 1698], true)) {
    finish(["the database doesn't answer: {$database->connect_error}"]); // it is there, but stopped or broken
}
$there = !$database->connect_errno && $database->query("SHOW TABLES LIKE 'wp_options'")?->num_rows === 1
    && $database->query("SELECT 1 FROM wp_options WHERE option_name = 'siteurl'")?->num_rows === 1;
if (!$there && !$apply) {
    finish(["the site isn't installed"]);
}
if (!$there) {
    define('WP_INSTALLING', true);
}
// WordPress's own examples are never made, and no letter is sent: both are functions that may be given before
function wp_install_defaults($user_id): void {
    $term = wp_insert_term('Non classé', 'category');
    update_option('default_category', is_wp_error($term) ? $term->get_error_data() : $term['term_id']);
}
function wp_new_blog_notification(...$ignored): void {
}
ob_start();
require '/usr/share/wordpress/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

$differences = [];
// Says one difference, and removes it where that is asked for.
function differs(string $what, callable $change): void {
    global $differences, $apply;
    $differences[] = $what;
    if ($apply) {
        $change();
    }
}

// A language that no translation is there for can't be set (sanitize_option): English, which WordPress is written in.
$language = in_array($wanted['language'], get_available_languages(), true) ? $wanted['language'] : '';

if (!$there) {
    differs("the site isn't installed", function () use ($wanted, $language) {
        wp_install($wanted['title'], $wanted['administrator'], $wanted['email'], true, '',
            $wanted['password'], $language);
        update_option('siteurl', $wanted['url']);
        update_option('home', $wanted['url']);
    });
}
if (!get_role('administrator')) { // the installation was killed in its midst
    differs('the roles', fn() => populate_roles());
}
if (get_option('db_version') != $GLOBALS['wp_db_version']) {
    differs('the database is of an older WordPress', fn() => wp_upgrade());
}

$options = [
    'blogname' => $wanted['title'],
    'blogdescription' => $wanted['tagline'],
    'WPLANG' => $language,
    'timezone_string' => $wanted['timezone'],
    'date_format' => 'j F Y',
    'time_format' => 'H:i',
    'start_of_week' => '1',
    'permalink_structure' => '/%postname%/',
    'default_comment_status' => 'closed',
    'default_ping_status' => 'closed',
    'default_pingback_flag' => '0',
    'users_can_register' => '0',
    'show_on_front' => 'page',
    'template' => 'entreprise',
    'stylesheet' => 'entreprise',
];
foreach ($options as $name => $value) {
    // WordPress stores the title escaped (sanitize_option)
    if (html_entity_decode((string) get_option($name), ENT_QUOTES) !== $value) {
        differs("option $name", function () use ($name, $value) {
            update_option($name, $value);
            if ($name === 'permalink_structure') {
                $GLOBALS['wp_rewrite']->set_permalink_structure($value);
                flush_rewrite_rules(false);
            }
        });
    }
}

$user = get_user_by('login', $wanted['administrator']);
if (!$user) {
    differs("user {$wanted['administrator']} isn't there", function () use ($wanted) {
        wp_insert_user(['user_login' => $wanted['administrator'], 'user_pass' => $wanted['password'],
            'user_email' => $wanted['email'], 'role' => 'administrator']);
    });
} else {
    if (!in_array('administrator', $user->roles, true)) {
        differs("user {$wanted['administrator']} isn't an administrator", fn() => $user->set_role('administrator'));
    }
    if (!wp_check_password($wanted['password'], $user->user_pass, $user->ID)) {
        differs("password of {$wanted['administrator']}", fn() => wp_set_password($wanted['password'], $user->ID));
    }
}

// The home page is written once, and again when what we write changes and nobody has edited it: an editor's
// words are never overwritten.
$digest = fn(string $text) => hash('sha256', $text);
$home = get_post((int) get_option('page_on_front'));
if (!$home || $home->post_status !== 'publish') {
    differs('the home page', function () use ($wanted, $digest) {
        $left = get_page_by_path('accueil'); // of a run that was killed before it was made the front page
        $id = wp_insert_post(['ID' => $left ? $left->ID : 0, 'post_type' => 'page', 'post_status' => 'publish', 'post_title' => 'Accueil',
            'post_name' => 'accueil', 'post_content' => wp_slash($wanted['home']),
            'comment_status' => 'closed', 'ping_status' => 'closed'], true);
        if (is_wp_error($id)) {
            fwrite(STDERR, $id->get_error_message() . "\n");
            exit(1);
        }
        update_post_meta($id, '_medicarche_source', $digest($wanted['home']));
        update_post_meta($id, '_medicarche_stored', $digest(get_post($id)->post_content));
        update_option('page_on_front', $id);
    });
} elseif (get_post_meta($home->ID, '_medicarche_source', true) !== $digest($wanted['home'])
    && get_post_meta($home->ID, '_medicarche_stored', true) === $digest($home->post_content)) {
    differs("the home page's words", function () use ($wanted, $digest, $home) {
        wp_update_post(['ID' => $home->ID, 'post_content' => wp_slash($wanted['home'])]);
        clean_post_cache($home->ID);
        update_post_meta($home->ID, '_medicarche_source', $digest($wanted['home']));
        update_post_meta($home->ID, '_medicarche_stored', $digest(get_post($home->ID)->post_content));
    });
}
// The directory's people: who has left, or has no role here any more, is out; who has another one has it at once.
foreach (get_users(['meta_key' => 'medicarche_directory']) as $person) {
    $role = $wanted['members'][$person->user_login] ?? '';
    if (implode(' ', $person->roles) !== $role) {
        differs($role === '' ? "{$person->user_login} is out" : "{$person->user_login} becomes $role", function () use ($person, $role) {
            $person->set_role($role);
            WP_Session_Tokens::get_instance($person->ID)->destroy_all();
        });
    }
}
finish($differences);
