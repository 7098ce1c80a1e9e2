<?php
// Nextcloud's people as the company's directory has them. Written by Medicarche; changes are put back.
//
// "check" says as a JSON list what differs, and changes nothing; "apply" changes it. Both as www-data. Standard input:
// a JSON object: `settings` of user_ldap, `people`: login → role, and `groups`: id → `title`, `members` (logins).
// All three empty: nobody of the directory is in any more, and no group of it.
//
// Nextcloud asks the directory itself when somebody logs in. What it doesn't do is here: an administrator's group, those
// of the directory, and the end of what somebody has left open.

declare(strict_types=1);

define('OC_CONSOLE', 1);
require '/var/www/nextcloud/lib/base.php';

use OC\ServerNotAvailableException;
use OCA\User_LDAP\Helper;
use OCA\User_LDAP\User_Proxy;
use OCP\App\IAppManager;
use OCP\IAppConfig;
use OCP\IConfig;
use OCP\IDBConnection;
use OCP\IGroupManager;
use OCP\IUser;
use OCP\IUserManager;
use OCP\Server;

/** The directory doesn't answer yet, or doesn't have somebody yet: it is deployed at the same time. */
final class Not_Shown extends RuntimeException
{
}

final class Medicarche_Directory
{
    /** the first directory's, as Nextcloud itself names them; there is no second one */
    private const PREFIX = 's01';
    /** what ids of the directory's groups begin with */
    private const GROUP = 'directory-';

    /**
     * @param array{settings: array<string, string>, people: array<string, string>,
     *     groups: array<string, array{title: string, members: list<string>}>} $wanted
     */
    public function __construct(private array $wanted, private IDBConnection $database, private IConfig $config)
    {
    }

    /** @return list<string> */
    public function differences(): array
    {
        $found = [];
        foreach ($this->changed() as $name) {
            $found[] = "the directory's setting $name";
        }
        if (!$this->is_listed()) {
            $found[] = "the directory isn't among those that Nextcloud asks";
        }
        $known = $this->known();
        foreach (array_diff(array_keys($this->wanted['people']), $known) as $login) {
            $found[] = "$login isn't known yet";
        }
        $administrators = $this->administrators();
        foreach ($this->wanted['people'] as $login => $role) {
            if (($role === 'administrator') !== in_array($login, $administrators, true)) {
                $found[] = $role === 'administrator' ? "$login is to be an administrator" : "$login is an administrator";
            }
        }
        foreach ($this->back() as $login) {
            $found[] = "$login is back";
        }
        $gone = $this->gone($known);
        foreach ($gone as $login) {
            $found[] = "$login isn't let in any more";
        }
        return [...$found, ...$this->groups_differ($known, $gone)];
    }

    /** @param list<string> $known
     *  @param list<string> $gone who is out of every group anyway
     *  @return list<string> */
    private function groups_differ(array $known, array $gone): array
    {
        $found = [];
        $titles = $this->titles();
        foreach (array_diff(array_keys($titles), array_keys($this->wanted['groups'])) as $id) {
            $found[] = "group $id isn't wanted any more";
        }
        foreach ($this->wanted['groups'] as $id => ['title' => $title, 'members' => $members]) {
            if (($titles[$id] ?? null) !== $title) {
                $found[] = "group $id is to be there as $title";
            }
            $present = array_diff($this->members($id), $gone);
            // who isn't known yet is told as that
            foreach (array_diff(array_intersect($members, $known), $present) as $login) {
                $found[] = "$login is to be in group $id";
            }
            foreach (array_diff(array_intersect($present, $known), $members) as $login) {
                $found[] = "$login is in group $id";
            }
        }
        return $found;
    }

    public function apply(): void
    {
        foreach ($this->changed() as $name) {
            $this->config->setAppValue('user_ldap', self::PREFIX . $name, $this->wanted['settings'][$name]);
        }
        if (!$this->is_listed()) {
            $listed = [...Server::get(Helper::class)->getServerConfigurationPrefixes(), self::PREFIX];
            Server::get(IAppConfig::class)->setValueArray('user_ldap', 'configuration_prefixes', $listed);
        }
        foreach ($this->gone($this->known()) as $login) {
            $this->put_out($login);
        }
        foreach ($this->back() as $login) {
            // as Nextcloud itself would at the next search for somebody; until then it refuses the log-in
            $this->config->deleteUserValue($login, 'user_ldap', 'isDeleted');
            $this->config->deleteUserValue($login, 'user_ldap', 'foundDeleted');
        }
        $proxy = Server::get(User_Proxy::class);
        $users = Server::get(IUserManager::class);
        if (!in_array($proxy, $users->getBackends(), true)) {
            // the app came up before the directory was set
            $users->registerBackend($proxy);
        }
        $group = Server::get(IGroupManager::class)->get('admin');
        $known = $this->known();
        $administrators = $this->administrators();
        foreach ($this->wanted['people'] as $login => $role) {
            // PHP makes numbers of what looks like one
            $login = (string) $login;
            if (!in_array($login, $known, true)) {
                $name = $proxy->loginName2UserName($login);
                if ($name === false) {
                    throw new Not_Shown("$login: the directory doesn't show this person to Nextcloud");
                }
                if ($name !== $login) {
                    throw new RuntimeException(
                        "$login: a local account of Nextcloud has this name: remove it (`occ user:delete $login`)"
                    );
                }
            }
            if ($role === 'administrator' && !in_array($login, $administrators, true)) {
                $group->addUser($users->get($login));
            } elseif ($role !== 'administrator' && in_array($login, $administrators, true)) {
                $this->delete('group_user', $login, 'admin');
            }
        }
        $this->apply_groups($users);
    }

    /** Nextcloud's own calls, so that what is shared with a group comes and goes with its people. */
    private function apply_groups(IUserManager $users): void
    {
        $groups = Server::get(IGroupManager::class);
        $known = $this->known();
        foreach (array_diff(array_keys($this->titles()), array_keys($this->wanted['groups'])) as $id) {
            $groups->get($id)?->delete();
        }
        foreach ($this->wanted['groups'] as $id => ['title' => $title, 'members' => $members]) {
            $group = $groups->get($id) ?? $groups->createGroup($id);
            if ($group->getDisplayName() !== $title) {
                $group->setDisplayName($title);
            }
            $present = $this->members($id);
            foreach (array_diff($members, $present) as $login) {
                $group->addUser($users->get($login));
            }
            // a local account is the business of who has put it there
            foreach (array_diff(array_intersect($present, $known), $members) as $login) {
                $user = $users->get($login);
                if ($user instanceof IUser) {
                    $group->removeUser($user);
                } else {
                    $this->delete('group_user', $login, $id);
                }
            }
        }
    }

    /** @return list<string> names of settings, never what they say: a password is among them */
    private function changed(): array
    {
        return array_keys(array_filter(
            $this->wanted['settings'],
            fn(string $value, string $name) => $this->config->getAppValue('user_ldap', self::PREFIX . $name) !== $value,
            ARRAY_FILTER_USE_BOTH
        ));
    }

    /** Nextcloud keeps a list of its directories from 32 on; before, those are asked that have settings. */
    private function is_listed(): bool
    {
        return $this->wanted['settings'] === []
            || in_array(self::PREFIX, Server::get(Helper::class)->getServerConfigurationPrefixes(), true);
    }

    /** @return list<string> whom Nextcloud knows from the directory */
    private function known(): array
    {
        return $this->column('SELECT owncloud_name FROM *PREFIX*ldap_user_mapping');
    }

    /** @return list<string> */
    private function administrators(): array
    {
        return $this->column("SELECT uid FROM *PREFIX*group_user WHERE gid = 'admin'");
    }

    /** @return array<string, string> id → title of the directory's groups */
    private function titles(): array
    {
        $query = $this->database->getQueryBuilder();
        $query->select('gid', 'displayname')->from('groups')->where(
            $query->expr()->like('gid', $query->createNamedParameter(self::GROUP . '%'))
        );
        return array_map(strval(...), array_column($query->executeQuery()->fetchAll(), 'displayname', 'gid'));
    }

    /** @return list<string> */
    private function members(string $group): array
    {
        $query = $this->database->getQueryBuilder();
        $query->select('uid')->from('group_user')->where(
            $query->expr()->eq('gid', $query->createNamedParameter($group))
        );
        return array_map(strval(...), $query->executeQuery()->fetchAll(PDO::FETCH_COLUMN));
    }

    /** @param list<string> $known
     *  @return list<string> who isn't let in any more, and has left something open: a session, an app's password, a group */
    private function gone(array $known): array
    {
        $open = [
            ...$this->column('SELECT DISTINCT uid FROM *PREFIX*authtoken'),
            ...$this->column('SELECT DISTINCT uid FROM *PREFIX*group_user'),
        ];
        $here = array_map(strval(...), array_keys($this->wanted['people']));
        return array_values(array_intersect(array_diff($known, $here), $open));
    }

    /** @return list<string> who is let in, and whom Nextcloud has marked as gone when it didn't find them */
    private function back(): array
    {
        $marked = $this->config->getUsersForUserValue('user_ldap', 'isDeleted', '1');
        return array_values(array_intersect(array_map(strval(...), array_keys($this->wanted['people'])), $marked));
    }

    private function put_out(string $login): void
    {
        $this->delete('authtoken', $login);
        $this->delete('group_user', $login);
    }

    private function delete(string $table, string $login, ?string $group = null): void
    {
        $query = $this->database->getQueryBuilder();
        $query->delete($table)->where($query->expr()->eq('uid', $query->createNamedParameter($login)));
        if ($group !== null) {
            $query->andWhere($query->expr()->eq('gid', $query->createNamedParameter($group)));
        }
        $query->executeStatement();
    }

    /** @return list<string> */
    private function column(string $query): array
    {
        return array_map(strval(...), $this->database->executeQuery($query)->fetchAll(PDO::FETCH_COLUMN));
    }
}

Server::get(IAppManager::class)->loadApp('user_ldap');
$directory = new Medicarche_Directory(
    json_decode(stream_get_contents(STDIN), true, flags: JSON_THROW_ON_ERROR),
    Server::get(IDBConnection::class),
    Server::get(IConfig::class)
);
try {
    if ($argv[1] === 'check') {
        echo json_encode($directory->differences(), JSON_THROW_ON_ERROR), "\n";
    } else {
        $directory->apply();
    }
} catch (Not_Shown | ServerNotAvailableException $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(75); // EX_TEMPFAIL (sysexits.h)
} catch (Throwable $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
